"""A question to a host, as a value: a fragment of shell, or a query to its server, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from provision.facts.server import Server

T = TypeVar("T")


@dataclass(frozen=True)
class Probe(Generic[T]):
    """A fragment of shell that prints a fact.

    It must exit with 0 when it could find out (that something is absent is an answer too), and otherwise say on
    standard error why not. It may use the functions of `gathering.PRELUDE`. absent: the fact of a bare host.
    """

    script: str
    parse: Callable[[str], T] = field(compare=False, repr=False)
    absent: T = field(compare=False, repr=False)


@dataclass(frozen=True)
class Query(Generic[T]):
    """A query of one row and one column to a database of the host's server.

    absent: the fact when there is no server yet, or no such database.
    """

    server: Server
    dbname: str
    sql: str
    parse: Callable[[str], T] = field(compare=False, repr=False)
    absent: T = field(compare=False, repr=False)


AnyProbe = Probe[T] | Query[T]

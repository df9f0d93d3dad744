"""The contract of a resource, and the few lines of shell and SQL that several kinds share."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, LiteralString, Protocol

from psycopg import sql

from provision.change import Change
from provision.facts import AnyProbe, Facts


class Resource(Protocol):
    """A desired state. Frozen; holds no connection; made by a task."""

    @property
    def name(self) -> str:
        """What people call it: "file /etc/hosts", "role bucardo"."""
        ...

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """What must be asked of the host."""
        ...

    def plan(self, facts: Facts) -> list[Change]:
        """The changes that lead from the facts to this state, in order; empty when there is nothing to do.

        Pure. Raises NotYet when a fact has to wait for another change, HostFailed when no change can help.
        """
        ...


def here(text: str) -> tuple[str, str]:
    """A here-document: what opens it behind a command, and the lines that follow. The text ends in a line end."""
    mark = f"text_{secrets.token_hex(8)}"
    body = text if text.endswith("\n") or not text else text + "\n"
    return f"<<'{mark}'", f"{body}{mark}\n"


def ident(name: str) -> str:
    """An SQL identifier, quoted."""
    return sql.Identifier(name).as_string(None)


def statement(text: LiteralString, **values: str | sql.Composable) -> str:
    """An SQL text with values put in: plain strings as constants, anything else as what it is."""
    parts = {name: sql.Literal(value) if isinstance(value, str) else value for name, value in values.items()}
    return sql.SQL(text).format(**parts).as_string(None)

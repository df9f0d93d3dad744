"""Databases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Query, Server
from provision.resources.base import ident, statement


def database_query(server: Server, dbname: str) -> Query[str | None]:
    """Asks for a database's owner; None when there is no such database."""
    return Query(
        server,
        "postgres",
        statement(
            "select coalesce(to_json((select pg_get_userbyid(datdba)::text from pg_database where datname = {name})),"
            " 'null');",
            name=dbname,
        ),
        json.loads,
        None,
    )


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database. owner: whom it is made for; one that exists keeps the owner it has."""

    server: Server
    dbname: str
    owner: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"database {self.dbname}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (database_query(self.server, self.dbname),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[database_query(self.server, self.dbname)] is not None:
            return []
        script = self.server.psql(f"create database {ident(self.dbname)} owner {ident(self.owner)};")
        return [Change(summary=f"create {self.name}", script=script, after=f"owner {self.owner}")]

"""The tables of pgbench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.errors import HostFailed
from provision.facts import AnyProbe, Facts, Query, Server
from provision.resources.base import ident, statement
from provision.transport import quote

TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_history", "pgbench_tellers")
BALANCES = (("pgbench_accounts", "abalance"), ("pgbench_branches", "bbalance"), ("pgbench_tellers", "tbalance"))
SCRATCH = "pgherd_pgbench_init"


@dataclass(frozen=True)
class TablesFact:
    """tables: those of pgbench's tables that are in schema public; scratch: whether an init was cut short."""

    tables: tuple[str, ...] = ()
    scratch: bool = False

    @classmethod
    def parse(cls, text: str) -> TablesFact:
        """Read what the query prints."""
        found = json.loads(text)
        return cls(tuple(found["tables"]), found["scratch"])


def tables_query(server: Server, dbname: str) -> Query[TablesFact]:
    """Asks which of pgbench's tables a database has."""
    return Query(
        server,
        dbname,
        statement(
            "select json_build_object("
            "'tables', (select coalesce(json_agg(relname order by relname), '[]') from pg_class"
            " where relnamespace = 'public'::regnamespace and relname = any(string_to_array({names}, ' '))),"
            " 'scratch', exists (select from pg_namespace where nspname = {scratch}));",
            names=" ".join(TABLES),
            scratch=SCRATCH,
        ),
        TablesFact.parse,
        TablesFact(),
    )


@dataclass(frozen=True, kw_only=True)
class PgbenchTables:
    """pgbench's four tables, in schema public. Rows are made only where tables are: what is there is never refilled.

    owner: the role that they belong to. fill: with rows, at that scale; without, the rows
    come by replication.
    """

    server: Server
    dbname: str
    owner: str
    scale: int
    fill: bool

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"pgbench tables in {self.dbname}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (tables_query(self.server, self.dbname),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[tables_query(self.server, self.dbname)]
        if found.tables == TABLES:
            return []
        if found.tables:
            missing = ", ".join(sorted(set(TABLES) - set(found.tables)))
            raise HostFailed(
                f"database {self.dbname} has some of pgbench's tables, but not {missing}.",
                hint="Drop the others, or take pgbench out of the inventory.",
            )
        what = f"fill {self.name} at scale {self.scale}" if self.fill else f"create {self.name}, without rows"
        return [Change(summary=what, script=self._script(), after="\n".join(TABLES))]

    def _script(self) -> str:
        """Let pgbench work in a schema of its own and move the finished tables over in one transaction."""
        scratch, owner = ident(SCRATCH), ident(self.owner)
        begin = f"drop schema if exists {scratch} cascade; create schema {scratch};"
        moves = "".join(
            f"alter table {scratch}.{table} owner to {owner}; alter table {scratch}.{table} set schema public;\n"
            for table in TABLES
        )
        # pgbench leaves them nullable, and a swap's counters cannot be.
        moves += "".join(f"alter table public.{table} alter {column} set not null;\n" for table, column in BALANCES)
        end = f"begin;\n{moves}drop schema {scratch};\ncommit;\nvacuum analyze;"
        what = f"-I dtgp -s {self.scale}" if self.fill else "-I dtp"
        fill = f"{self.server.program('pgbench')} -i -q {what} {quote(self.server.conninfo(self.dbname))} || exit 1\n"
        fill = f"PGOPTIONS={quote(f'-c search_path={SCRATCH}')} {fill}"
        return (
            f"{self.server.psql(f'set client_min_messages = warning; {begin}', dbname=self.dbname).rstrip()}\n"
            '[ "$?" = 0 ] || exit 1\n'
            f"{fill if self.server.passfile else self.server.under_account(fill)}"
            f"{self.server.psql(end, dbname=self.dbname)}"
        )

"""Reads the ledgers of all masters at once, and one entry by its name. A master that does not answer is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Generic, TypeVar

from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import set_json_loads

from replicator.errors import NotFound, ReplicatorError, UsageError
from replicator.ledger.entry import Conflict, Row, Side, merged
from replicator.model import Database, Install, SyncType, TableName, Topology
from replicator.postgres import Connection, Connector, fetch_one, translated

T = TypeVar("T")

FETCHED = 2000
"""Rows on their way at a time: a ledger may be larger than memory."""

ENTRIES = """
select id, sync, schema_name, table_name, key, source, incoming_op::text, incoming_at, {incoming_row} as incoming_row,
       local_op::text, local_at, {local_row} as local_row, incoming_wins, rule, decided_at, local_node,
       merged_row is not null as merges, {merged_row} as merged_row
from {ledger} where {condition} order by decided_at desc, id desc limit {limit}
"""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    id: int
    sync: str
    schema_name: str
    table_name: str
    key: Row
    source: str
    incoming_op: str
    incoming_at: datetime
    incoming_row: Row | None
    local_op: str
    local_at: datetime
    local_row: Row | None
    incoming_wins: bool
    rule: str
    decided_at: datetime
    local_node: str | None
    merges: bool
    merged_row: Row | None


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which conflicts. since: decided then or later. limit: the newest so many.

    key: each is a value of the key as text, or `column=value`; all must hold.
    """

    syncs: Collection[str] = ()
    table: TableName | None = None
    since: datetime | None = None
    key: Sequence[str] = ()
    limit: int | None = None

    @property
    def condition(self) -> sql.Composed:
        """As SQL."""
        parts: list[sql.Composable] = []
        if self.syncs:
            parts.append(sql.SQL("sync = any({})").format(sql.Literal(list(self.syncs))))
        if self.table:
            names = (sql.Literal(self.table.schema), sql.Literal(self.table.name))
            parts.append(sql.SQL("(schema_name, table_name) = ({}, {})").format(*names))
        if self.since:
            parts.append(sql.SQL("decided_at >= {}").format(sql.Literal(self.since)))
        parts += [_has_key(text) for text in self.key]
        return sql.SQL(" and ").join(parts or [sql.SQL("true")])


def _has_key(text: str) -> sql.Composed:
    column, _, value = text.partition("=")
    return sql.SQL("(key ->> {} = {} or exists (select from jsonb_each_text(key) e where e.value = {}))").format(
        sql.Literal(column), sql.Literal(value), sql.Literal(text)
    )


@dataclass(frozen=True)
class Found:
    """Conflicts, newest first. silent: the masters that did not answer, with why; nothing is known of theirs."""

    conflicts: tuple[Conflict, ...]
    silent: Mapping[str, ReplicatorError]


def find(topology: Topology, install: Install, connector: Connector, filters: Filters) -> Found:
    """The conflicts that masters of swaps have noted, without their images; notes of one conflict are one."""
    answers = ask_masters(topology, install, connector, filters, list)
    notes = [note for some in answers.given.values() for note in some]
    return Found(tuple(merged(notes, filters.limit)), answers.silent)


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What each database gave, by name. silent: those that did not answer, with why."""

    given: Mapping[str, T]
    silent: Mapping[str, ReplicatorError]


def ask_masters(
    topology: Topology,
    install: Install,
    connector: Connector,
    filters: Filters,
    fold: Callable[[Iterator[Conflict]], T],
) -> Answers[T]:
    """What `fold` makes of each master's notes, newest first; for all masters of swaps at once."""

    def work(connection: Connection, database: Database) -> T:
        return fold(entries(connection, install, database, filters))

    return ask(connector, masters(topology, filters.syncs), work)


def ask(connector: Connector, databases: Iterable[Database], work: Callable[[Connection, Database], T]) -> Answers[T]:
    """Do work on a connection to each database, on all at once."""

    def answer(database: Database) -> T | ReplicatorError:
        try:
            with translated(str(database)), connector.open(database, "conflicts") as connection:
                return work(connection, database)
        except ReplicatorError as error:
            return error

    asked = list(databases)
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        answers = dict(zip([database.name for database in asked], pool.map(answer, asked), strict=True))
    silent = {name: given for name, given in answers.items() if isinstance(given, ReplicatorError)}
    return Answers({n: given for n, given in answers.items() if not isinstance(given, ReplicatorError)}, silent)


def masters(topology: Topology, syncs: Collection[str] = ()) -> list[Database]:
    """The databases that take part in swaps, or in some of them, and may be connected to."""
    swaps = [s for s in topology.syncs.values() if s.type is SyncType.SWAP and (not syncs or s.name in syncs)]
    members = [member for swap in swaps for member in topology.masters(swap)]
    return list({member.name: member for member in members if member.active}.values())


def exists(connection: Connection, install: Install) -> bool:
    """Whether this database has a ledger."""
    return bool(fetch_one(connection, "select to_regclass(%s) is not null", [f'"{install.schema}".conflict'])[0])


def entries(connection: Connection, install: Install, database: Database, filters: Filters) -> Iterator[Conflict]:
    """A master's notes without images, newest first, as they come from the server."""
    if exists(connection, install):
        yield from _select(connection, install, database, filters.condition, limit=filters.limit)


def entry(connection: Connection, install: Install, database: Database, number: int) -> Conflict:
    """One note with its images. Raises NotFound."""
    found: list[Conflict] = []
    if exists(connection, install):
        condition = sql.SQL("id = {}").format(sql.Literal(number))
        found += _select(connection, install, database, condition, images=True)
    if not found:
        raise NotFound(
            f"{database.name}:{number} is not in the ledger (any more).", hint="`replicator conflicts list` shows it."
        )
    return found[0]


def _select(
    connection: Connection,
    install: Install,
    database: Database,
    condition: sql.Composed,
    *,
    limit: int | None = None,
    images: bool = False,
) -> Iterator[Conflict]:
    rows = [sql.SQL(name if images else "null::jsonb") for name in ("incoming_row", "local_row", "merged_row")]
    query = sql.SQL(ENTRIES).format(
        ledger=sql.Identifier(install.schema, "conflict"),
        condition=condition,
        limit=sql.Literal(limit),
        incoming_row=rows[0],
        local_row=rows[1],
        merged_row=rows[2],
    )
    read_exactly(connection)
    with connection.cursor("entries", row_factory=class_row(_Entry)) as cursor:
        cursor.itersize = FETCHED
        cursor.execute(query)
        for row in cursor:
            yield _conflict(row, database)


def read_exactly(connection: Connection) -> None:
    """Have the connection read JSON numbers as they are written."""
    loads: Callable[[str | bytes], Any] = partial(json.loads, parse_float=Decimal)
    set_json_loads(loads, connection)


def _conflict(row: _Entry, database: Database) -> Conflict:
    return Conflict(
        node=database.name,
        number=row.id,
        sync=row.sync,
        table=TableName(row.schema_name, row.table_name),
        key=row.key,
        incoming=Side(row.source, row.incoming_op, row.incoming_at, row.incoming_row),
        local=Side(row.local_node or database.name, row.local_op, row.local_at, row.local_row),
        incoming_wins=row.incoming_wins,
        rule=row.rule,
        decided_at=row.decided_at,
        merges=row.merges,
        merged=row.merged_row,
    )


def parse(topology: Topology, name: str) -> tuple[Database, int]:
    """Read `node:number`. Raises UsageError, NotFound."""
    database, colon, number = name.partition(":")
    if not colon or not number.isdecimal() or int(number) >= 2**63:
        raise UsageError(f"{name!r} does not name a conflict.", hint="They are called like master:17.")
    if database not in topology.databases:
        raise NotFound(f"{name}: there is no database {database!r}.")
    return topology.databases[database], int(number)


def show(topology: Topology, install: Install, connector: Connector, name: str) -> Conflict:
    """One conflict with both images. Raises UsageError, NotFound, Unreachable."""
    database, number = parse(topology, name)
    with translated(str(database)), connector.open(database, "conflicts") as connection:
        return entry(connection, install, database, number)

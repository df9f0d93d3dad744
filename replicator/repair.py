"""Dead letters: the keys that a target refused, as its `parked` table keeps them; list them, try again, forget.

The engine parks a key and looks at it again when `retry` is set; this module only reads and marks. A key's number is
unique on its target, so people name it by both: `slave:17`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import class_row

from replicator import progress
from replicator.errors import NotFound, ReplicatorError, UsageError
from replicator.model import Database, Install, TableName, Topology
from replicator.postgres import Connector, translated

COLUMNS = """
select id, sync, source, schema_name, table_name, key, new_row, sqlstate, error, first_at, last_at, attempts, retry
from {}.parked
"""


@dataclass(frozen=True, kw_only=True)
class _Row:
    id: int
    sync: str
    source: str
    schema_name: str
    table_name: str
    key: Mapping[str, Any]
    new_row: Mapping[str, Any] | None
    sqlstate: str
    error: str
    first_at: datetime
    last_at: datetime
    attempts: int
    retry: bool


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A key that was set aside. row: its latest image on the source, None when it was deleted there.

    attempts: how often the target has refused it. retry: it will be tried with the next batch.
    """

    number: int
    target: str
    sync: str
    source: str
    table: TableName
    key: Mapping[str, Any]
    row: Mapping[str, Any] | None
    sqlstate: str
    error: str
    first_at: datetime
    last_at: datetime
    attempts: int
    retry: bool

    @property
    def name(self) -> str:
        """How people call it: `target:number`."""
        return f"{self.target}:{self.number}"


@dataclass(frozen=True)
class Found:
    """silent: the targets that did not answer, with why; nothing is known of theirs."""

    parked: tuple[Parked, ...]
    silent: Mapping[str, ReplicatorError]


def find(topology: Topology, install: Install, connector: Connector, syncs: Collection[str] = ()) -> Found:
    """The parked keys of all targets, or those of some syncs; oldest first for each target."""
    rows: list[Parked] = []
    silent: dict[str, ReplicatorError] = {}
    for database in _targets(topology, install, syncs):
        try:
            rows += [row for row in _read(connector, install, database) if not syncs or row.sync in syncs]
        except ReplicatorError as error:
            silent[database.name] = error
    return Found(tuple(rows), silent)


def _targets(topology: Topology, install: Install, syncs: Collection[str]) -> Iterable[Database]:
    links = [link for link in topology.all_links(install) if not syncs or link.sync.name in syncs]
    return {link.target.name: link.target for link in links if link.target.active}.values()


def _read(connector: Connector, install: Install, database: Database, number: int | None = None) -> list[Parked]:
    query = sql.SQL(COLUMNS + (" where id = %s" if number is not None else " order by id"))
    connection = connector.open(database, "parked")
    with translated(str(database)), connection:
        if not progress.exists(connection, install):
            return []
        with connection.cursor(row_factory=class_row(_Row)) as cursor:
            cursor.execute(query.format(sql.Identifier(install.schema)), None if number is None else [number])
            return [_parked(row, database) for row in cursor]


def _parked(row: _Row, database: Database) -> Parked:
    return Parked(
        number=row.id,
        target=database.name,
        sync=row.sync,
        source=row.source,
        table=TableName(row.schema_name, row.table_name),
        key=row.key,
        row=row.new_row,
        sqlstate=row.sqlstate,
        error=row.error,
        first_at=row.first_at,
        last_at=row.last_at,
        attempts=row.attempts,
        retry=row.retry,
    )


def parse(topology: Topology, name: str) -> tuple[Database, int]:
    """Read `target:number`. Raises UsageError, NotFound."""
    database, colon, number = name.partition(":")
    if not colon or not number.isdecimal():
        raise UsageError(f"{name!r} does not name a parked key.", hint="They are called like slave:17.")
    if database not in topology.databases:
        raise NotFound(f"{name}: there is no database {database!r}.")
    return topology.databases[database], int(number)


def show(topology: Topology, install: Install, connector: Connector, name: str) -> Parked:
    """One parked key. Raises UsageError, NotFound, Unreachable."""
    database, number = parse(topology, name)
    for row in _read(connector, install, database, number):
        return row
    raise NotFound(f"{name} is not parked (any more).", hint="`replicator parked list` shows what is.")


def retry(topology: Topology, install: Install, connector: Connector, names: Sequence[str]) -> list[Parked]:
    """Have keys read from the source and written again with the next batch. All or none of each target's.

    Returns them as they were. Raises UsageError, NotFound, Unreachable.
    """
    return _change(topology, install, connector, names, "update {}.parked set retry = true where id = any(%s)")


def drop(topology: Topology, install: Install, connector: Connector, names: Sequence[str]) -> list[Parked]:
    """Forget keys: the row stays as it is on the target until it next changes on the source. Otherwise as `retry`."""
    return _change(topology, install, connector, names, "delete from {}.parked where id = any(%s)")


def _change(
    topology: Topology, install: Install, connector: Connector, names: Sequence[str], query: str
) -> list[Parked]:
    wanted: dict[str, list[int]] = {}
    for database, number in [parse(topology, name) for name in names]:
        wanted.setdefault(database.name, []).append(number)
    changed: list[Parked] = []
    for name, numbers in wanted.items():
        changed += _change_some(connector, install, topology.databases[name], numbers, query)
    return changed


def _change_some(
    connector: Connector, install: Install, database: Database, numbers: Sequence[int], query: str
) -> list[Parked]:
    present = {row.number: row for row in _read(connector, install, database)}
    missing = [f"{database.name}:{number}" for number in numbers if number not in present]
    if missing:
        raise NotFound(f"not parked (any more): {', '.join(missing)}.", hint="`replicator parked list` shows what is.")
    connection = connector.open(database, "parked")
    with translated(str(database)), connection:
        connection.execute(sql.SQL(query).format(sql.Identifier(install.schema)), [list(numbers)])
    return [present[number] for number in numbers]

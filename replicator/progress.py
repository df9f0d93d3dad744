"""Positions: how far a target has followed a source, kept on the target in the transaction that writes the rows.

A crash at any instruction therefore loses nothing and doubles nothing: what is not committed did not happen, and what
is committed is known to be. Who moves the position is `apply` (a batch) and `table_copy` (a first copy).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from psycopg import sql
from psycopg.rows import TupleRow

from replicator.errors import NotPrimary, SourceReplaced
from replicator.model import Install, Link, TableName
from replicator.postgres import Answer, Connection, fetch_one
from replicator.snapshot import NOTHING, Snapshot
from replicator.sql import in_schema


@dataclass(frozen=True)
class Origin:
    """Which history a position belongs to: the server, its timeline, the database and the install's node in it."""

    node: UUID
    system_id: str
    timeline: int
    database: int


@dataclass(frozen=True)
class Position:
    """The sync-wide position of a target on one source. updated_at: when it last moved, by the target's clock."""

    snapshot: Snapshot
    origin: Origin
    updated_at: object


class TableState(StrEnum):
    """How far a target is with one table. Set by `table_copy` (the first two) and `apply` (LIVE), always stored."""

    COPYING = "copying"
    COPIED = "copied"
    LIVE = "live"


@dataclass(frozen=True)
class TablePosition:
    """capture: the source's `captured.id` that is being followed. snapshot: None once LIVE.

    bounds: the keys, as text, at which a first copy is cut into ranges; done: the ranges that are there.
    """

    state: TableState
    capture: UUID
    snapshot: Snapshot | None
    bounds: tuple[tuple[str, ...], ...] = ()
    done: frozenset[int] = frozenset()


def exists(connection: Connection, install: Install) -> bool:
    """Whether the install's schema is in this database."""
    return bool(fetch_one(connection, "select to_regclass(%s) is not null", [f'"{install.schema}".progress'])[0])


def origin(connection: Connection, install: Install) -> Origin:
    """Who this source is. Raises NotPrimary on a standby."""
    query = sql.SQL(
        "select n.uuid, s.system_identifier::text, c.timeline_id, d.oid, pg_is_in_recovery()"
        " from {}.node n, pg_control_system() s, pg_control_checkpoint() c, pg_database d"
        " where d.datname = current_database()"
    ).format(sql.Identifier(install.schema))
    node, system_id, timeline, database, standby = fetch_one(connection, query)
    if standby:
        raise NotPrimary(hint="Point the database at the primary.")
    return Origin(node, system_id, timeline, database)


def check_same(link: Link, known: Origin, now: Origin) -> None:
    """Refuse to continue over a restored or swapped source. Raises SourceReplaced saying what changed."""
    if known == now:
        return
    what = "another server"
    if known.system_id == now.system_id:
        what = "on another timeline (it was restored or failed over)" if known.timeline != now.timeline else "new"
    raise SourceReplaced(
        f"{link}: the source database is {what}, not the one that {link.target.name} was following.",
        hint=f"If it is right, copy anew: `replicator update sync {link.sync.name} --onetimecopy always`.",
    )


def read(connection: Connection, install: Install, sync: str, source: str, *, lock: bool = False) -> Position | None:
    """The position of this target on a source; None before the first. lock: keep other runs of the link out."""
    return ask(connection, install, sync, source, lock=lock)()


POSITION = (
    "select snapshot, node, system_id, timeline, database, updated_at from {0}.progress where sync = %s and source = %s"
)


def ask(
    connection: Connection, install: Install, sync: str, source: str, *, lock: bool = False
) -> Answer[Position | None]:
    """As `read`, to be answered later."""
    query = in_schema(POSITION + " for update" if lock else POSITION, install.schema)
    asked = connection.execute(query, [sync, source], prepare=True)
    return lambda: _position(asked.fetchone())


def _position(row: TupleRow | None) -> Position | None:
    if row is None:
        return None
    return Position(Snapshot.parse(row[0]), Origin(row[1], row[2], row[3], int(row[4])), row[5])


def save(
    connection: Connection, link: Link, snapshot: Snapshot, source: Origin, knows: Mapping[str, Snapshot] | None = None
) -> None:
    """Move the position. In the transaction that wrote what it stands for. knows: the source's own positions."""
    query = in_schema(
        "insert into {0}.progress (sync, source, snapshot, node, system_id, timeline, database, knows)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (sync, source) do update set"
        " snapshot = excluded.snapshot, node = excluded.node, system_id = excluded.system_id,"
        " timeline = excluded.timeline, database = excluded.database, knows = excluded.knows,"
        " updated_at = clock_timestamp()",
        link.install.schema,
    )
    told = json.dumps({name: str(at) for name, at in (knows or {}).items()})
    values = [str(snapshot), source.node, source.system_id, source.timeline, source.database, told]
    connection.execute(query, [link.sync.name, link.source.name, *values], prepare=True)


def tables(connection: Connection, install: Install, sync: str, source: str) -> dict[TableName, TablePosition]:
    """How far this target is with each table of a link; one that it never had is left out."""
    return ask_tables(connection, install, sync, source)()


def ask_tables(
    connection: Connection, install: Install, sync: str, source: str
) -> Answer[dict[TableName, TablePosition]]:
    """As `tables`, to be answered later."""
    query = in_schema(
        "select schema_name, table_name, state, capture, snapshot, bounds, done from {0}.progress_table"
        " where sync = %s and source = %s",
        install.schema,
    )
    asked = connection.execute(query, [sync, source], prepare=True)
    return lambda: dict(_table(*row) for row in asked)


def _table(
    schema: str, name: str, state: str, capture: UUID, snapshot: str | None, bounds: list[list[str]], done: list[int]
) -> tuple[TableName, TablePosition]:
    at = Snapshot.parse(snapshot) if snapshot is not None else None
    cut = tuple(tuple(bound) for bound in bounds)
    return TableName(schema, name), TablePosition(TableState(state), capture, at, cut, frozenset(done))


def save_table(
    connection: Connection, link: Link, table: TableName, position: TablePosition, *, source: str = ""
) -> None:
    """Set how far this target is with one table of a link, or of another source of its sync."""
    query = sql.SQL(
        "insert into {}.progress_table (sync, source, schema_name, table_name, state, capture, snapshot, bounds, done)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (sync, source, schema_name, table_name) do update"
        " set state = excluded.state, capture = excluded.capture, snapshot = excluded.snapshot,"
        " bounds = excluded.bounds, done = excluded.done"
    ).format(sql.Identifier(link.install.schema))
    snapshot = str(position.snapshot) if position.snapshot else None
    values = [position.state, position.capture, snapshot, json.dumps(position.bounds), sorted(position.done)]
    connection.execute(query, [link.sync.name, source or link.source.name, table.schema, table.name, *values])
    if position.state is TableState.COPIED:  # what came with a copy is not in the table's own log
        begun = sql.SQL(
            "update {}.captured set whole_from = txid_current()"
            " where schema_name = %s and table_name = %s and kind = 'rows'"
        ).format(sql.Identifier(link.install.schema))
        connection.execute(begun, [table.schema, table.name])


def copied(connection: Connection, link: Link, table: TableName) -> None:
    """A table that came from a link's source is here: changes of all masters flow from where they are set to begin."""
    query = sql.SQL(
        "update {}.progress_table set state = 'copied'"
        " where sync = %s and source <> %s and schema_name = %s and table_name = %s and state = 'copying'"
    ).format(sql.Identifier(link.install.schema))
    connection.execute(query, [link.sync.name, link.source.name, table.schema, table.name])


def add_range(connection: Connection, link: Link, table: TableName, number: int) -> None:
    """Note that one key range of a first copy is there. In the transaction that wrote it."""
    query = sql.SQL(
        "update {}.progress_table set done = done || %s::int"
        " where sync = %s and source = %s and schema_name = %s and table_name = %s"
    ).format(sql.Identifier(link.install.schema))
    connection.execute(query, [number, link.sync.name, link.source.name, table.schema, table.name])


def go_live(connection: Connection, link: Link, names: Collection[TableName]) -> None:
    """Let copied tables share the sync's position from now on. In the transaction of their first batch."""
    for name in names:
        connection.execute(
            sql.SQL(
                "update {}.progress_table set state = 'live', snapshot = null, bounds = '[]', done = '{{}}'"
                " where sync = %s and source = %s and schema_name = %s and table_name = %s"
            ).format(sql.Identifier(link.install.schema)),
            [link.sync.name, link.source.name, name.schema, name.name],
        )


def hold(connection: Connection, link: Link, names: Collection[TableName], at: Snapshot) -> None:
    """Let tables that share the sync's position stay behind at `at`, until a batch brings them on from there.

    In the transaction that moves the position, or while it is locked.
    """
    query = sql.SQL(
        "update {}.progress_table set state = 'copied', snapshot = %s where sync = %s and source = %s"
        " and state = 'live' and (schema_name, table_name) in (select * from unnest(%s::text[], %s::text[]))"
    ).format(sql.Identifier(link.install.schema))
    tables = [[name.schema for name in names], [name.name for name in names]]
    connection.execute(query, [str(at), link.sync.name, link.source.name, *tables])


def followed(connection: Connection, install: Install, sync: str, source: str) -> Answer[dict[TableName, Snapshot]]:
    """What this node has seen of each table of a source, by the link from there: the sync's position or its own."""
    position, known = ask(connection, install, sync, source), ask_tables(connection, install, sync, source)

    def answer() -> dict[TableName, Snapshot]:
        at = shared.snapshot if (shared := position()) else NOTHING
        return {name: table.snapshot or at for name, table in known().items() if table.state is not TableState.COPYING}

    return answer


def copying(connection: Connection, install: Install, sync: str) -> Answer[frozenset[TableName]]:
    """The tables of which this node is being filled from another of the sync."""
    query = in_schema(
        "select distinct schema_name, table_name from {0}.progress_table where sync = %s and state = 'copying'",
        install.schema,
    )
    asked = connection.execute(query, [sync], prepare=True)
    return lambda: frozenset(TableName(*names) for names in asked)


def standing(connection: Connection, install: Install, sync: str) -> Answer[dict[str, Snapshot]]:
    """What this node has for certain of each other master of a swap, by name: the position of its latest table."""
    query = in_schema(
        "select turn, source, snapshot from (select source, snapshot, 1 as turn from {0}.progress where sync = %(sync)s"
        " union all select source, snapshot, 2 from {0}.progress_table where sync = %(sync)s and state = 'copied') x"
        " order by turn",
        install.schema,
    )
    asked = connection.execute(query, {"sync": sync}, prepare=True)

    def answer() -> dict[str, Snapshot]:
        found: dict[str, Snapshot] = {}
        for turn, source, text in asked:
            at = Snapshot.parse(text)
            if turn == 1 or (source in found and found[source].covers(at)):
                found[source] = at
        return found

    return answer


def told(connection: Connection, install: Install, sync: str) -> Answer[dict[str, dict[str, Snapshot]]]:
    """What each master said of its own positions when it last sent something here: by master, then by its source."""
    query = in_schema("select source, knows from {0}.progress where sync = %s", install.schema)
    asked = connection.execute(query, [sync], prepare=True)
    return lambda: {source: {name: Snapshot.parse(at) for name, at in knows.items()} for source, knows in asked}


def forget(
    connection: Connection,
    install: Install,
    sync: str,
    source: str | None = None,
    names: Collection[TableName] | None = None,
) -> None:
    """Drop the positions and parked rows of a sync on this target: all, of one source, or of some tables only."""
    if not exists(connection, install):
        return
    for relation in _kept_relations(connection, install, names):
        condition, values = _condition(sync, source, names if relation != "progress" else None)
        connection.execute(
            sql.SQL("delete from {}.{} where {}").format(
                sql.Identifier(install.schema), sql.Identifier(relation), condition
            ),
            values,
        )


def _kept_relations(connection: Connection, install: Install, names: Collection[TableName] | None) -> Iterator[str]:
    if names is None:
        yield "progress"
    yield from ("progress_table", "parked")
    # A node may be cleaned by a newer program than the one that last prepared it.
    if fetch_one(connection, "select to_regclass(%s) is not null", [f'"{install.schema}".table_columns'])[0]:
        yield "table_columns"


def _condition(
    sync: str, source: str | None, names: Collection[TableName] | None
) -> tuple[sql.Composable, list[object]]:
    parts, values = [sql.SQL("sync = %s")], list[object]([sync])
    if source is not None:
        parts.append(sql.SQL("source = %s"))
        values.append(source)
    if names is not None:
        parts.append(sql.SQL("(schema_name, table_name) in (select * from unnest(%s::text[], %s::text[]))"))
        values += [[n.schema for n in names], [n.name for n in names]]
    return sql.SQL(" and ").join(parts), values

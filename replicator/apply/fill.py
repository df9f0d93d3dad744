"""Fills columns in that a target lacked while rows flowed without them, a part of the table in each batch.

A part is read in the batch's own snapshot and written after the batch's changes, so a slave's column is then what the
source's is, and stays so by the changes that follow, which carry the column. The parts go by the source's key, so
memory and transactions stay small and the stream goes on in between.

Between masters a row may have been changed here meanwhile. A value that the column did not get from its default stays,
if its row was changed here without the source's knowing: it was written later. Rows whose newest version another master
made are left to that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from replicator.apply import onward, park
from replicator.apply.arrival import Arrival
from replicator.apply.pump import Moved
from replicator.apply.stage import Stage
from replicator.capture.delta import unseen
from replicator.failpoint import failpoint
from replicator.model import Link
from replicator.postgres import Connection
from replicator.relations import Relation, restricted

PART = 20_000
"""Rows of the source that are read for one batch."""

KEYS = frozenset(
    {
        *("smallint", "integer", "bigint", "oid", "numeric", "uuid", "date", "boolean", "bytea", "text"),
        *("character varying", "timestamp without time zone", "timestamp with time zone"),
    }
)
"""Types of which a value's text names it, and stands in one order on one server. Others go in one part."""


@dataclass(frozen=True)
class Part:
    """What to fill: columns of a table, from a key on (as text). arrival: where masters meet."""

    link: Link
    source: Relation
    target: Relation
    names: frozenset[str]
    after: tuple[str, ...] | None
    arrival: Arrival | None = None


@dataclass(frozen=True)
class Filled:
    """rows: how many were changed. after: up to which key the columns are filled; None when all are."""

    rows: int
    after: tuple[str, ...] | None


def fill(source: Connection, target: Connection, part: Part, moved: Moved) -> Filled:
    """Fill one part. Inside the transactions of a batch, after its changes. Raises the driver's errors."""
    upto = _upto(source, part)
    relation = restricted(part.target, {*part.source.key, *part.target.key, *part.names})
    stage = Stage(relation, name=f"fill_{part.target.oid}")
    target.execute(sql.SQL("drop table if exists {}").format(stage.table))
    stage.create(target)
    stage.fill(source, _query(part, stage, upto), target, moved, binary=part.source.binary)
    target.execute(_forget_equal(part, stage))
    park.forget_parked(target, part.link, stage)
    if part.arrival:
        target.execute(_lock(stage))  # what is found out of these rows holds until they are written
        target.execute(_forget_later(part.arrival, stage, part))
    failpoint("fill.before-rows")
    rows = target.execute(_update(part, stage)).rowcount
    failpoint("fill.after-rows")
    if rows:
        _note(target, part, stage)
    return Filled(rows, upto)


def _upto(source: Connection, part: Part) -> tuple[str, ...] | None:
    """The last key of the part; None when it reaches to the table's end."""
    if any(part.source.column(name).stage_type not in KEYS for name in part.source.key):
        return None
    query = sql.SQL("select {} from {} t where {} order by {} offset {} limit 1").format(
        sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in part.source.key),
        part.source.rows,
        _beyond(part, ">", part.after),
        _keys(part.source.key),
        sql.Literal(PART - 1),
    )
    row = source.execute(query).fetchone()
    return tuple(row) if row else None


def _keys(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in names)


def _beyond(part: Part, operator: str, key: tuple[str, ...] | None) -> sql.Composable:
    if key is None:
        return sql.SQL("true")
    values = [
        sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(part.source.column(name).stage_type))
        for name, value in zip(part.source.key, key, strict=True)
    ]
    return sql.SQL("({}) operator(pg_catalog.{}) ({})").format(
        _keys(part.source.key), sql.SQL(operator), sql.SQL(", ").join(values)
    )


def _query(part: Part, stage: Stage, upto: tuple[str, ...] | None) -> sql.Composed:
    values = [
        sql.SQL("t.{}::{}").format(sql.Identifier(name), sql.SQL(part.source.column(name).stage_type))
        for name in stage.names
    ]
    return sql.SQL("select false, {} from {} t where {} and {}").format(
        sql.SQL(", ").join(values), part.source.rows, _beyond(part, ">", part.after), _beyond(part, "<=", upto)
    )


def _lock(stage: Stage) -> sql.Composed:
    return sql.SQL("select from {} t join {} s on {} order by {} for update of t").format(
        stage.relation.rows, stage.table, stage.match, _keys(stage.relation.key)
    )


def _filled(part: Part, stage: Stage) -> list[str]:
    return [name for name in stage.names if name in part.names and name not in part.target.key]


def _forget_equal(part: Part, stage: Stage) -> sql.Composed:
    """Keep what differs. By their text: not every type has an equality."""
    here, there = (
        sql.SQL("row({})::text").format(sql.SQL(", ").join(values))
        for values in (
            [sql.SQL("t.{}").format(sql.Identifier(name)) for name in _filled(part, stage)],
            [stage.value(name) for name in _filled(part, stage)],
        )
    )
    return sql.SQL(
        "delete from {stage} s where not exists (select from {table} t where {match} and {here} <> {there})"
    ).format(stage=stage.table, table=part.target.rows, match=stage.match, here=here, there=there)


def _forget_later(arrival: Arrival, stage: Stage, part: Part) -> sql.Composed:
    """Leave alone what was written here later, and what another master is to bring."""
    return replace(arrival, stage=stage).compose(
        "with newest as (select distinct on (s.ctid) s.ctid as id, l.origin,"
        " l.origin is null and {unseen} as mine from {stage} s join {log} l on {of_log} where l.op <> '+'"
        " order by s.ctid, l.seq desc)"
        " delete from {stage} s using newest n, {table} t where s.ctid = n.id and {match}"
        " and (n.origin <> {source} or (n.mine and {written}))",
        unseen=unseen("l.xid", arrival.seen),
        source=sql.Literal(arrival.link.source.id),
        written=_written(arrival.connection, part, stage),
    )


def _written(connection: Connection, part: Part, stage: Stage) -> sql.Composable:
    """That row `t` holds something in those columns that did not come from their defaults."""
    query = (
        "select a.attname::text, pg_get_expr(d.adbin, d.adrelid) from pg_attribute a"
        " left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum"
        " where a.attrelid = %s and a.attname = any(%s)"
    )
    names = _filled(part, stage)
    defaults: dict[str, str | None] = dict(connection.execute(query, [part.target.oid, names]).fetchall())
    parts = [
        sql.SQL("row(t.{0})::text <> row(({1})::{2})::text").format(
            sql.Identifier(name), sql.SQL(defaults[name] or "null"), sql.SQL(part.target.column(name).type)
        )
        for name in names
    ]
    return sql.SQL("({})").format(sql.SQL(" or ").join(parts))


def _update(part: Part, stage: Stage) -> sql.Composed:
    assignments = [sql.SQL("{} = {}").format(sql.Identifier(n), stage.value(n)) for n in _filled(part, stage)]
    return sql.SQL("update {} t set {} from {} s where {}").format(
        part.target.rows, sql.SQL(", ").join(assignments), stage.table, stage.match
    )


def _note(target: Connection, part: Part, stage: Stage) -> None:
    """Let it flow onward. On a master as what the rows' newest versions are: no row is anybody else's for it."""
    if not part.link.onward:
        return
    if part.arrival is None:
        onward.note_stage(target, part.link, stage)
        return
    arrival = replace(part.arrival, stage=stage)
    arrival.execute(
        "insert into {log} ({columns}, changed_at, origin, op, onward, author, source_xid)"
        " select {values}, coalesce(l.changed_at, timestamptz 'epoch'), case when l.seq is null then {source}"
        " else l.origin end, coalesce(l.op, 'U'), true, l.author, l.source_xid from {stage} s"
        " left join lateral (select l.* from {log} l where {of_log} and l.op <> '+' order by l.seq desc limit 1) l"
        " on true",
        columns=sql.SQL(", ").join(arrival.columns),
        values=sql.SQL(", ").join(stage.value(name) for name in stage.relation.key),
        source=sql.Literal(part.link.source.id),
    )
    onward.note_touched(target, part.link, stage)

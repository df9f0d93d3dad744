"""Dead letters: sets aside the rows that a target refuses, holds back what comes after them, and tries them again.

Which rows are refused is found by `sift`. What a person does with a parked key is in `repair`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from replicator.apply.resolver import Unanswered
from replicator.apply.stage import Stage
from replicator.model import Link, TableName
from replicator.postgres import Answer, Connection, affected
from replicator.sql import in_schema

REFUSALS = (psycopg.errors.DataError, psycopg.errors.IntegrityError, psycopg.errors.RaiseException)

AGAIN: LiteralString = (
    "on conflict (sync, source, schema_name, table_name, md5(key::text)) do update set new_row = excluded.new_row,"
    " sqlstate = excluded.sqlstate, error = excluded.error, last_at = clock_timestamp(),"
    " attempts = p.attempts + 1, retry = excluded.retry, gains = excluded.gains"
)
"""What becomes of a key that was parked before."""


EARLY: LiteralString = "02000"
"""In place of an SQLSTATE: what was gained on a row that is yet to come."""

PART: LiteralString = "02001"
"""And what its maker has counted on it; its row is yet to come from one who has changed it since."""


@dataclass(frozen=True)
class Refusal:
    """A staged row that the target refused. number: its place among the staged rows."""

    number: int
    sqlstate: str
    error: str


@dataclass(frozen=True)
class Waiting:
    """What is parked of one table. retry: keys (JSON text) that a person wants tried again."""

    keys: int
    retry: tuple[str, ...]


def waiting(connection: Connection, link: Link) -> Answer[dict[TableName, Waiting]]:
    """The tables of a link that have parked keys."""
    query = in_schema(
        "select schema_name, table_name, count(*), coalesce(array_agg(key::text) filter (where retry), '{{}}')"
        " from {0}.parked where sync = %s and source = %s group by 1, 2",
        link.install.schema,
    )
    asked = connection.execute(query, [link.sync.name, link.source.name], prepare=True)
    return lambda: {TableName(schema, name): Waiting(keys, tuple(retry)) for schema, name, keys, retry in asked}


def unmet(connection: Connection, link: Link) -> Answer[dict[TableName, dict[str, list[str]]]]:
    """What a link's source has parked of other masters' changes: keys (JSON text), by table and where they came from.

    It has seen these changes, and does not have them. What was only counted (`hold_early`) is no version of a row.
    """
    query = in_schema(
        "select schema_name, table_name, source, array_agg(key::text) from {0}.parked"
        " where sync = %s and sqlstate not in (%s, %s) group by 1, 2, 3",
        link.install.schema,
    )
    asked = connection.execute(query, [link.sync.name, EARLY, PART], prepare=True)

    def answer() -> dict[TableName, dict[str, list[str]]]:
        found: dict[TableName, dict[str, list[str]]] = {}
        for schema, name, source, keys in asked:
            found.setdefault(TableName(schema, name), {})[source] = keys
        return found

    return answer


def hold_back(connection: Connection, link: Link, stage: Stage, retry: Sequence[str]) -> int:
    """Move staged rows of parked keys to their dead letters, newest image first; how many.

    retry: keys (JSON text) that go through, with what their counters have gained there; see `forget_retried`.
    """
    here = _of_table(link, stage.relation.name)
    if stage.gains and retry:
        _bring_gains(connection, link, stage, retry)
    here = sql.SQL("{} and p.key::text <> all({}::text[])").format(here, sql.Literal(list(retry)))
    query = sql.SQL(
        "with held as (update {} p set new_row = case when s.gone then null else {} end, last_at = clock_timestamp(),"
        " gains = {} from {} s where {} and p.key = {} returning s.ctid as at)"
        " delete from {} s using held where s.ctid = held.at"
    ).format(letters(link), stage.row_json, _sum_json(stage), stage.table, here, stage.key_json, stage.table)
    return affected(connection.execute(query))


def hold_early(connection: Connection, link: Link, stage: Stage, log: sql.Identifier) -> int:
    """Set aside what was gained on rows that are yet to come (`conflict.early`), and what their makers send of them
    where another has changed them since; how many. log: the target's.

    It is tried again with every batch, and then added.
    """
    query = sql.SQL(
        "with early as (delete from {stage} s where s.at is null and not s.gone"
        " and not exists (select from {table} t where {match})"
        " and (s.early or {part} or {awaited}) and not ({part} and {deleted}) returning s.*)"
        " insert into {parked} as p"
        " (sync, source, schema_name, table_name, key, new_row, sqlstate, error, gains, retry)"
        " select {sync}, {source}, {schema}, {name}, {key}, {row}, case when {part} then {of_maker} else {early} end,"
        " case when {part} then {changed} else {made} end, {gains}, true from early s {again}"
    )
    table = stage.relation.name
    held = connection.execute(
        query.format(
            stage=stage.table,
            table=stage.relation.rows,
            match=stage.match,
            part=brings_part(link, stage),
            awaited=awaits_part(link, stage),
            deleted=_deleted(stage, log),
            parked=letters(link),
            sync=sql.Literal(link.sync.name),
            source=sql.Literal(link.source.name),
            schema=sql.Literal(table.schema),
            name=sql.Literal(table.name),
            key=stage.key_json,
            row=stage.row_json,
            of_maker=sql.Literal(PART),
            early=sql.Literal(EARLY),
            changed=sql.Literal("its row is yet to come from a master that has changed it"),
            made=sql.Literal("its row is yet to come from the master that made it"),
            gains=_own_json(stage),
            again=sql.SQL(AGAIN),
        )
    )
    return affected(held)


def brings_part(link: Link, stage: Stage) -> sql.Composed:
    """That staged row `s` brings what its maker has counted on it: now, or it was held (`hold_early`)."""
    held = sql.SQL("exists (select from {} p where {})").format(letters(link), holds_part(link, stage))
    first = stage.gains[0]
    return sql.SQL("({} is null and s.{} is not null or {})").format(
        stage.gain_value(first), stage.of_others(first), held
    )


def holds_part(link: Link, stage: Stage, *, of_all: bool = False) -> sql.Composed:
    """That dead letter `p` is what the link's source, or any (of_all), has counted on staged row `s` that it made."""
    of_table = _of_table(link, stage.relation.name, of_all=of_all)
    return sql.SQL("{} and p.key = {} and p.sqlstate = {}").format(of_table, stage.key_json, sql.Literal(PART))


def awaits_part(link: Link, stage: Stage) -> sql.Composed:
    """That what a maker has counted on staged row `s` is held here, from whichever master."""
    return sql.SQL("exists (select from {} p where {})").format(letters(link), holds_part(link, stage, of_all=True))


def _deleted(stage: Stage, log: sql.Identifier) -> sql.Composed:
    """That the newest version of staged row `s` that is known here is a deletion: its row is not to come."""
    keys = [
        sql.SQL("l.{} {} {}").format(sql.Identifier(f"k{number}"), equal.as_sql(), stage.value(name))
        for number, (name, equal) in enumerate(zip(stage.relation.key, stage.relation.equal, strict=True), 1)
    ]
    return sql.SQL(
        "coalesce((select l.op = 'D' from {} l where {} and l.op <> '+' order by l.seq desc limit 1), false)"
    ).format(log, sql.SQL(" and ").join(keys))


def _own_json(stage: Stage) -> sql.Composed:
    """What is held of staged row `s`: what its counters gained, or of a row that was made anew its maker's part."""
    pairs = [
        sql.SQL("({}, to_jsonb(coalesce({}, {})))").format(
            sql.Literal(name), stage.gain_value(name), stage.own_part(name)
        )
        for name in stage.gains
    ]
    return sql.SQL("(select jsonb_object_agg(x.k, x.v) from (values {}) x(k, v))").format(sql.SQL(", ").join(pairs))


def forget_retried(connection: Connection, link: Link, table: TableName, retry: Sequence[str]) -> None:
    """Forget keys (JSON text) that were tried again in this batch, but for those that were parked again in it."""
    query = sql.SQL("delete from {} p where {} and p.key::text = any({}::text[]) and p.last_at < now()")
    connection.execute(query.format(letters(link), _of_table(link, table), sql.Literal(list(retry))))


def _bring_gains(connection: Connection, link: Link, stage: Stage, retry: Sequence[str]) -> None:
    """Add what the dead letters of keys to retry hold to what the staged rows bring."""
    sums = [sql.SQL("{} = {}").format(stage.gain(name), _sum(stage, name)) for name in stage.gains]
    query = sql.SQL("update {} s set {} from {} p where {} and p.key::text = any({}::text[]) and p.key = {}")
    here = _of_table(link, stage.relation.name)
    keys = sql.Literal(list(retry))
    connection.execute(query.format(stage.table, sql.SQL(", ").join(sums), letters(link), here, keys, stage.key_json))


def _sum(stage: Stage, name: str) -> sql.Composed:
    """What a counter has gained in dead letter `p` and then in staged row `s`; null if either is as on the source."""
    return sql.SQL("case when p.gains is not null then coalesce((p.gains ->> {})::numeric, 0) + {} end").format(
        sql.Literal(name), stage.gain_value(name)
    )


def _sum_json(stage: Stage) -> sql.Composable:
    if not stage.gains:
        return sql.SQL("null::jsonb")
    pairs = [sql.SQL("({}, to_jsonb({}))").format(sql.Literal(name), _sum(stage, name)) for name in stage.gains]
    return sql.SQL(
        "case when p.gains is not null and {} is not null"
        " then (select jsonb_object_agg(x.k, x.v) from (values {}) x(k, v)) end"
    ).format(stage.gain_value(stage.gains[0]), sql.SQL(", ").join(pairs))


def forget_parked(connection: Connection, link: Link, stage: Stage) -> None:
    """Take rows that were parked out of the stage: they were not written."""
    query = sql.SQL("delete from {} s using {} p where {} and p.key = {}")
    here = _of_table(link, stage.relation.name)
    connection.execute(query.format(stage.table, letters(link), here, stage.key_json))


def drop_all(connection: Connection, link: Link, table: TableName, *, of_all: bool = False) -> None:
    """Forget a table's dead letters: it is being copied or emptied as a whole. of_all: those of every source."""
    where = _of_table(link, table, of_all=of_all)
    connection.execute(sql.SQL("delete from {} p where {}").format(letters(link), where))


def set_aside(connection: Connection, link: Link, stage: Stage, errors: Mapping[str, Unanswered]) -> None:
    """Park staged rows, by their ctid in the stage, that the target would take but that nobody could decide about.

    What their counters gained counts all the same: they hold none of it.
    """
    query = sql.SQL(
        "insert into {} as p (sync, source, schema_name, table_name, key, new_row, sqlstate, error, gains)"
        " select {}, {}, {}, {}, {}, case when not s.gone then {} end, r.sqlstate, r.error,"
        " case when ({}) is not null then jsonb '{{}}' end"
        " from {} s join unnest({}::text[], {}::text[], {}::text[]) r(id, sqlstate, error) on s.ctid = r.id::tid {}"
    )
    table = stage.relation.name
    connection.execute(
        query.format(
            letters(link),
            *(sql.Literal(v) for v in (link.sync.name, link.source.name, table.schema, table.name)),
            *(stage.key_json, stage.row_json, stage.gains_json, stage.table),
            sql.Literal(list(errors)),
            sql.Literal([error.sqlstate for error in errors.values()]),
            sql.Literal([str(error) for error in errors.values()]),
            sql.SQL(AGAIN),
        )
    )


def park_refused(connection: Connection, link: Link, stage: Stage, refusals: Sequence[Refusal]) -> None:
    """Park the numbered rows that were refused; `sift` has numbered them."""
    query = sql.SQL(
        "insert into {} as p (sync, source, schema_name, table_name, key, new_row, sqlstate, error, gains)"
        " select {}, {}, {}, {}, {}, {}, r.sqlstate, r.error, {}"
        " from {} s join unnest({}::int[], {}::text[], {}::text[]) r(n, sqlstate, error) using (n) {}"
    )
    table = stage.relation.name
    connection.execute(
        query.format(
            letters(link),
            *(sql.Literal(v) for v in (link.sync.name, link.source.name, table.schema, table.name)),
            *(stage.key_json, stage.row_json, stage.gains_json, stage.table),
            sql.Literal([r.number for r in refusals]),
            sql.Literal([r.sqlstate for r in refusals]),
            sql.Literal([r.error for r in refusals]),
            sql.SQL(AGAIN),
        )
    )


def letters(link: Link) -> sql.Identifier:
    """The table of dead letters."""
    return sql.Identifier(link.install.schema, "parked")


def _of_table(link: Link, table: TableName, *, of_all: bool = False) -> sql.Composed:
    source = sql.SQL("true") if of_all else sql.SQL("p.source = {}").format(sql.Literal(link.source.name))
    return sql.SQL("p.sync = {} and {} and p.schema_name = {} and p.table_name = {}").format(
        sql.Literal(link.sync.name), source, sql.Literal(table.schema), sql.Literal(table.name)
    )

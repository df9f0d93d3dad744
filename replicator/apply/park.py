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

    It has seen these changes, and does not have them. What only counters gained (`hold_early`) is no version of a row.
    """
    query = in_schema(
        "select schema_name, table_name, source, array_agg(key::text) from {0}.parked"
        " where sync = %s and sqlstate <> '02000' group by 1, 2, 3",
        link.install.schema,
    )
    asked = connection.execute(query, [link.sync.name], prepare=True)

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
    ).format(_parked(link), stage.row_json, _sum_json(stage), stage.table, here, stage.key_json, stage.table)
    return affected(connection.execute(query))


def hold_early(connection: Connection, link: Link, stage: Stage) -> int:
    """Set aside what was gained on rows that are yet to come from their makers (`conflict.early`); how many.

    It is tried again with every batch, and then added.
    """
    query = sql.SQL(
        "with early as (delete from {stage} s where s.early and s.at is null and not s.gone"
        " and not exists (select from {table} t where {match}) returning s.*)"
        " insert into {parked} as p"
        " (sync, source, schema_name, table_name, key, new_row, sqlstate, error, gains, retry)"
        " select {sync}, {source}, {schema}, {name}, {key}, {row}, '02000', {error}, {gains}, true from early s {again}"
    )
    table = stage.relation.name
    held = connection.execute(
        query.format(
            stage=stage.table,
            table=stage.relation.rows,
            match=stage.match,
            parked=_parked(link),
            sync=sql.Literal(link.sync.name),
            source=sql.Literal(link.source.name),
            schema=sql.Literal(table.schema),
            name=sql.Literal(table.name),
            key=stage.key_json,
            row=stage.row_json,
            error=sql.Literal("its row is yet to come from the master that made it"),
            gains=stage.gains_json,
            again=sql.SQL(AGAIN),
        )
    )
    return affected(held)


def forget_retried(connection: Connection, link: Link, table: TableName, retry: Sequence[str]) -> None:
    """Forget keys (JSON text) that were tried again in this batch, but for those that were parked again in it."""
    query = sql.SQL("delete from {} p where {} and p.key::text = any({}::text[]) and p.last_at < now()")
    connection.execute(query.format(_parked(link), _of_table(link, table), sql.Literal(list(retry))))


def _bring_gains(connection: Connection, link: Link, stage: Stage, retry: Sequence[str]) -> None:
    """Add what the dead letters of keys to retry hold to what the staged rows bring."""
    sums = [sql.SQL("{} = {}").format(stage.gain(name), _sum(stage, name)) for name in stage.gains]
    query = sql.SQL("update {} s set {} from {} p where {} and p.key::text = any({}::text[]) and p.key = {}")
    here = _of_table(link, stage.relation.name)
    keys = sql.Literal(list(retry))
    connection.execute(query.format(stage.table, sql.SQL(", ").join(sums), _parked(link), here, keys, stage.key_json))


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
    connection.execute(query.format(stage.table, _parked(link), here, stage.key_json))


def drop_all(connection: Connection, link: Link, table: TableName, *, of_all: bool = False) -> None:
    """Forget a table's dead letters: it is being copied or emptied as a whole. of_all: those of every source."""
    where = _of_table(link, table, of_all=of_all)
    connection.execute(sql.SQL("delete from {} p where {}").format(_parked(link), where))


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
            _parked(link),
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
            _parked(link),
            *(sql.Literal(v) for v in (link.sync.name, link.source.name, table.schema, table.name)),
            *(stage.key_json, stage.row_json, stage.gains_json, stage.table),
            sql.Literal([r.number for r in refusals]),
            sql.Literal([r.sqlstate for r in refusals]),
            sql.Literal([r.error for r in refusals]),
            sql.SQL(AGAIN),
        )
    )


def _parked(link: Link) -> sql.Identifier:
    return sql.Identifier(link.install.schema, "parked")


def _of_table(link: Link, table: TableName, *, of_all: bool = False) -> sql.Composed:
    source = sql.SQL("true") if of_all else sql.SQL("p.source = {}").format(sql.Literal(link.source.name))
    return sql.SQL("p.sync = {} and {} and p.schema_name = {} and p.table_name = {}").format(
        sql.Literal(link.sync.name), source, sql.Literal(table.schema), sql.Literal(table.name)
    )

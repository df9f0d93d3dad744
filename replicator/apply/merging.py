"""Writes the row that a function made of two rivals: into the stage, where it replaces what arrived.

It may leave columns out: those stay as they are on the side that was written later (of a deleted row: on the other).
Values that the function did not touch are taken from their side as they are, so they never pass through JSON. Counters
go on adding up whatever it says of them, and generated columns are computed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import psycopg
from psycopg import sql

from replicator.apply.arrival import Arrival
from replicator.apply.park import REFUSALS
from replicator.apply.resolver import Unanswered
from replicator.apply.rival import Rival, Verdict
from replicator.conflict import anew
from replicator.postgres import fetch_one
from replicator.relations import Column

JSON = ("json", "jsonb")


def attempt(arrival: Arrival, rival: Rival, row: str) -> str:
    """Try whether the table would take a merged row; the whole row but its counters, as JSON text.

    Nothing changes. Raises Unanswered when it would not, saying why.
    """
    _check_columns(arrival, rival, row)
    connection, stage = arrival.connection, arrival.stage
    whole = sql.SQL("{} - {}::text[]").format(stage.row_json, sql.Literal(list(stage.gains)))
    text = ""
    try:
        with connection.transaction(force_rollback=True):
            query = sql.SQL("{} returning s.ctid::text, ({})::text").format(_staged(arrival, [rival], [row]), whole)
            id_, text = fetch_one(connection, query)
            only = sql.SQL("s.ctid = {}::tid").format(sql.Literal(id_))
            arrival.execute("delete from {table} t using {stage} s where {only} and {match}", only=only)
            arrival.execute("{insert} where {only}", insert=stage.insert, only=only)
    except psycopg.errors.UniqueViolation:
        pass  # another row is in its way, which may go in this very batch: `collision` and `park` see to that
    except REFUSALS as error:
        message = error.diag.message_primary or str(error)
        raise Unanswered(f"the function's row is refused: {message}", error.sqlstate or "P0001") from error
    return str(text)


def _check_columns(arrival: Arrival, rival: Rival, row: str) -> None:
    """Raise Unanswered for a column that is not there, and for another key."""
    relation, given = arrival.stage.relation, json.loads(row)
    if strange := sorted(given.keys() - {column.name for column in relation.columns}):
        raise Unanswered(f"the function's row has a column {strange[0]}, which {relation.name} has not", "42703")
    pairs = [
        sql.SQL("({0}, {1}::jsonb ->> {0}, to_jsonb({2}) #>> '{{}}')").format(
            sql.Literal(name), sql.Literal(row), arrival.stage.value(name)
        )
        for name in relation.key
        if name in given
    ]
    if not pairs:
        return
    query = arrival.compose(
        "select x.name from {stage} s cross join lateral (values {pairs}) x(name, new, old)"
        " where s.ctid = {id}::tid and x.new is distinct from x.old",
        pairs=sql.SQL(", ").join(pairs),
        id=sql.Literal(rival.id),
    )
    if moved := arrival.connection.execute(query).fetchone():
        raise Unanswered(f"the function's row has another key: column {moved[0]} must stay as it is", "22023")


def write_in(arrival: Arrival, verdicts: Sequence[Verdict]) -> None:
    """Let merged rows stand in the stage instead of what arrived, as new versions of this node.

    Their places in the stage change, so this comes after all that knows them by their place.
    """
    if verdicts:
        rivals = [verdict.rival for verdict in verdicts]
        arrival.connection.execute(_staged(arrival, rivals, [verdict.merged or "" for verdict in verdicts]))


def _staged(arrival: Arrival, rivals: Sequence[Rival], rows: Sequence[str]) -> sql.Composed:
    """The statement that puts merged rows into the stage."""
    stage = arrival.stage
    free = [c for c in stage.relation.written if c.name not in stage.relation.key and c.name not in stage.gains]
    values = [(column.name, _value(arrival, column)) for column in free]
    values += [
        (name, sql.SQL("case when s.gone then t.{} else {} end").format(sql.Identifier(name), stage.value(name)))
        for name in stage.gains
    ]
    form = sql.SQL("({})::text as {}" if stage.text else "{} as {}")
    new = [sql.SQL("{0} = x.{0}").format(stage.column(name)) for name, _ in values]
    # Where the row was deleted on the other side its counters are what they are here, and nothing is to be added.
    new += [sql.SQL("{0} = case when s.gone then 0 else s.{0} end").format(stage.gain(name)) for name in stage.gains]
    return arrival.compose(
        "update {stage} s set {new}gone = false, op = case when s.gone then 'U' else s.op end, anew = x.at,"
        " author = {here}, standing = case when s.gone then 'merged' else s.standing end"
        " from (select s.ctid as id, {values}d.at from unnest({ids}::text[], {rows}::text[], {local}::boolean[],"
        " {times}::timestamptz[]) d(id, text, local, at) join {stage} s on s.ctid = d.id::tid"
        " left join {table} t on {match} cross join lateral (select d.text::jsonb as row) j{record}) x"
        " where s.ctid = x.id",
        new=sql.Composed([sql.SQL("{}, ").format(each) for each in new]),
        values=sql.Composed([form.format(value, stage.column(name)) + sql.SQL(", ") for name, value in values]),
        record=_record(free),
        here=sql.Literal(arrival.link.target.id),
        ids=sql.Literal([rival.id for rival in rivals]),
        rows=sql.Literal(list(rows)),
        local=sql.Literal([rival.local.version > rival.incoming.version for rival in rivals]),
        times=sql.Literal([anew(rival.incoming.version, rival.local.version) for rival in rivals]),
    )


def _record(columns: Sequence[Column]) -> sql.Composable:
    """The merged row as a row `r`. A type's name comes from the server's format_type, quoted by it."""
    if not columns:
        return sql.SQL("")
    definitions = [sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(c.stage_type)) for c in columns]
    return sql.SQL(" cross join lateral jsonb_to_record(j.row) as r({})").format(sql.SQL(", ").join(definitions))


def _value(arrival: Arrival, column: Column) -> sql.Composed:
    """A column of the merged row: from the side that has the same, else as given; left out: of the later side."""
    exact = column.stage_type in JSON
    same = "j.row -> {name} = to_jsonb({side})" if exact else "(j.row ->> {name}) is not distinct from {side_text}"
    staged, here = arrival.stage.value(column.name), sql.Identifier("t", column.name)

    def equals(side: sql.Composable) -> sql.Composed:
        return sql.SQL(same).format(
            name=sql.Literal(column.name), side=side, side_text=sql.SQL("(to_jsonb({}) #>> '{{}}')").format(side)
        )

    return sql.SQL(
        "case when not j.row ? {name} then case when (d.local or s.gone) and t.{first} is not null"
        " then {here} else {staged} end when {as_staged} then {staged} when {as_here} then {here} else r.{column} end"
    ).format(
        name=sql.Literal(column.name),
        first=sql.Identifier(arrival.stage.relation.key[0]),
        here=here,
        staged=staged,
        column=sql.Identifier(column.name),
        as_staged=equals(staged),
        as_here=equals(here),
    )

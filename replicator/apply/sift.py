"""Finds the staged rows that a target refuses, and writes the others.

A refused row is found by halving: with the old versions of all staged rows deleted, halves of the new ones are
inserted until the refused ones stand alone. They keep their old version on the target, which may bar a row that
passed before, so it is done over until nothing more is refused. Setting the refused ones aside is `park`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from replicator.apply import park
from replicator.apply.park import REFUSALS, Refusal
from replicator.apply.stage import Stage
from replicator.change import Counts
from replicator.errors import ServerError
from replicator.failpoint import failpoint
from replicator.model import Link
from replicator.postgres import Connection, fetch_one

MOST = 1000
SIFTED = "pgherd_sifted"


def sift(connection: Connection, link: Link, stage: Stage) -> Counts:
    """Write the staged rows except those that the target refuses; park these, and take them out of the stage.

    Raises ServerError over MOST.
    """
    sifted = Stage(stage.relation, stage.versioned, stage.text, SIFTED, stage.gains)
    _number(connection, stage)
    refusals: dict[int, Refusal] = {}
    while True:
        with connection.transaction() as attempt:
            counts = _delete_old(connection, sifted)
            found = _insert_halves(connection, sifted, 1, _size(connection))
            if found:
                raise psycopg.Rollback(attempt)
        if not found:
            break
        refusals |= {refusal.number: refusal for refusal in found}
        _mark(connection, found)
        if len(refusals) > MOST:
            raise ServerError(
                f"{link}: {stage.relation.name}: more than {MOST} rows are refused; the first: {found[0].error}",
                hint="Compare the table's constraints on both sides; nothing of this batch was written.",
            )
    failpoint("park.before-letters")
    park.park_refused(connection, link, sifted, list(refusals.values()))
    failpoint("park.after-letters")
    connection.execute(
        sql.SQL("delete from {} s using {} b where b.bad and s.ctid = b.staged").format(stage.table, sifted.table)
    )
    return counts + Counts(parked=len(refusals))


def _number(connection: Connection, stage: Stage) -> None:
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("pg_temp", SIFTED)))
    connection.execute(
        sql.SQL(
            "create temp table {} on commit drop as select row_number() over ()::int as n, false as bad,"
            " s.ctid as staged, s.* from {} s"
        ).format(sql.Identifier(SIFTED), stage.table)
    )
    connection.execute(sql.SQL("create index on {} (n)").format(sql.Identifier(SIFTED)))
    connection.execute(sql.SQL("analyze {}").format(sql.Identifier("pg_temp", SIFTED)))


def _size(connection: Connection) -> int:
    query = sql.SQL("select coalesce(max(n), 0) from {}").format(sql.Identifier("pg_temp", SIFTED))
    return int(fetch_one(connection, query)[0])


def _delete_old(connection: Connection, stage: Stage) -> Counts:
    if not stage.relation.key:
        total = fetch_one(connection, sql.SQL("select count(*) from {} where not bad").format(stage.table))[0]
        return Counts(inserted=total)
    query = sql.SQL(
        "with d as (delete from {} t using {} s where not s.bad and {} returning s.gone)"
        " select count(*) filter (where gone), count(*) filter (where not gone),"
        " (select count(*) from {} where not bad and not gone) from d"
    )
    deleted, old, new = fetch_one(connection, query.format(stage.relation.rows, stage.table, stage.match, stage.table))
    return Counts(inserted=new - old, updated=old, deleted=deleted)


def _insert_halves(connection: Connection, stage: Stage, low: int, high: int) -> list[Refusal]:
    """Insert staged rows low to high; those that were refused."""
    if high < low:
        return []
    condition = sql.SQL(" where not s.gone and not s.bad and s.n between {} and {}").format(
        sql.Literal(low), sql.Literal(high)
    )
    try:
        with connection.transaction():
            connection.execute(stage.insert + condition)
    except REFUSALS as error:
        if low == high:
            message = error.diag.message_primary or str(error)
            detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
            return [Refusal(low, error.sqlstate or "", message + detail)]
        middle = (low + high) // 2
        found = _insert_halves(connection, stage, low, middle)
        return found if len(found) > MOST else found + _insert_halves(connection, stage, middle + 1, high)
    return []


def _mark(connection: Connection, refusals: Sequence[Refusal]) -> None:
    connection.execute(
        sql.SQL("update {} set bad = true where n = any({})").format(
            sql.Identifier("pg_temp", SIFTED), sql.Literal([refusal.number for refusal in refusals])
        )
    )

"""Writes staged rows to the target, by sets: gone keys are deleted, the rest updated or inserted.

Inside the batch's transaction. In the usual way nothing guards against a row that the target refuses: the batch is
then rolled back and done again with care, where a second way is tried first (rows that exchange values of a unique
column collide while they are updated one by one, not when all are deleted and then inserted), and only then the rows
to blame are looked for (`park`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import LiteralString

import psycopg
from psycopg import sql

from replicator.apply.sift import sift
from replicator.apply.stage import ANYTHING, Holds, Stage
from replicator.change import Counts
from replicator.model import Link
from replicator.postgres import Answer, Connection, affected, fetch_one

REFUSALS = (psycopg.errors.DataError, psycopg.errors.IntegrityError, psycopg.errors.RaiseException)
"""What a server says to a row, rather than to a statement, a session or a disk."""

Writer = Callable[[Connection, Stage], Answer[Counts]]


def write(
    connection: Connection, link: Link, stage: Stage, *, holds: Holds = ANYTHING, careful: bool = False
) -> Answer[Counts]:
    """Apply what is staged. careful: set refused rows aside; otherwise the driver's error comes out."""
    if stage.few and not stage.replaces:
        return _upsert_few(connection, stage, holds)
    ways: list[Writer] = [replace] if stage.replaces else [upsert, replace]
    if not careful:
        return ways[0](connection, stage)
    for way in ways:
        try:
            with connection.transaction():
                return way(connection, stage)
        except REFUSALS:
            continue
    counts = sift(connection, link, stage)
    return lambda: counts


def upsert(connection: Connection, stage: Stage) -> Answer[Counts]:
    """Delete the gone, update the matched, insert the rest."""
    total, gone_ones = staged(connection, stage)
    deleted = delete_gone(connection, stage)() if gone_ones else 0
    updated = update_matched(connection, stage)() if total > gone_ones else 0
    inserted = _insert_missing(connection, stage)() if updated < total - gone_ones else 0
    return lambda: Counts(inserted=inserted, updated=updated, deleted=deleted)


def _upsert_few(connection: Connection, stage: Stage, holds: Holds) -> Answer[Counts]:
    """The same without a question: one round trip for all is less than one to see what is needed."""
    gone = delete_gone(connection, stage) if holds.gone else _none
    matched = update_matched(connection, stage) if holds.kept else _none
    missing = _insert_missing(connection, stage) if holds.kept else _none
    return lambda: Counts(inserted=missing(), updated=matched(), deleted=gone())


def _none() -> int:
    return 0


def staged(connection: Connection, stage: Stage) -> tuple[int, int]:
    """How many rows are staged, and how many of them are gone."""
    total, gone = fetch_one(
        connection, sql.SQL("select count(*), count(*) filter (where gone) from {}").format(stage.table)
    )
    return total, gone


def delete_gone(connection: Connection, stage: Stage, also: LiteralString = "") -> Answer[int]:
    """Delete the target's rows of gone keys."""
    asked = stage.ask(connection, _delete_query(stage, also))
    return lambda: affected(asked)


def update_matched(connection: Connection, stage: Stage, also: LiteralString = "") -> Answer[int]:
    """Update the target's rows that are staged; where nothing can be assigned, count them."""
    asked = stage.ask(connection, _update_query(stage, also))
    if not stage.assigned:
        return lambda: int(asked.fetchall()[0][0])
    return lambda: affected(asked)


def _insert_missing(connection: Connection, stage: Stage) -> Answer[int]:
    asked = stage.ask(connection, _insert_query(stage))
    return lambda: affected(asked)


KEPT = 256
"""How many statements of each kind are kept: composing one takes longer than a small table's rows."""


@lru_cache(maxsize=KEPT)
def _delete_query(stage: Stage, also: LiteralString) -> bytes:
    query = sql.SQL("delete from {} t using {} s where s.gone and {}{}")
    return query.format(stage.relation.rows, stage.rows, stage.match, sql.SQL(also)).as_bytes()


@lru_cache(maxsize=KEPT)
def _update_query(stage: Stage, also: LiteralString) -> bytes:
    condition = sql.SQL("not s.gone and {}{}").format(stage.match, sql.SQL(also))
    if not stage.assigned:
        query = sql.SQL("select count(*) from {} t join {} s on {}")
        return query.format(stage.relation.rows, stage.rows, condition).as_bytes()
    assignments = [sql.SQL("{} = {}").format(sql.Identifier(n), stage.value(n)) for n in stage.assigned]
    query = sql.SQL("update {} t set {} from {} s where {}")
    return query.format(stage.relation.rows, sql.SQL(", ").join(assignments), stage.rows, condition).as_bytes()


@lru_cache(maxsize=KEPT)
def _insert_query(stage: Stage) -> bytes:
    # An application may insert the same key meanwhile: this is a slave, the source's row wins.
    sets = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in stage.assigned]
    action = sql.SQL("update set {}").format(sql.SQL(", ").join(sets)) if sets else sql.SQL("nothing")
    query = sql.SQL("{} where not s.gone and not exists (select from {} t where {}) on conflict ({}) do {}")
    keys = sql.SQL(", ").join(sql.Identifier(name) for name in stage.relation.key)
    return query.format(stage.insert, stage.relation.rows, stage.match, keys, action).as_bytes()


def replace(connection: Connection, stage: Stage) -> Answer[Counts]:
    """Delete the target's rows of all staged keys, then insert those that are not gone."""
    total, gone = staged(connection, stage)
    deleted, old = delete_all(connection, stage)
    connection.execute(sql.SQL("{} where not s.gone").format(stage.insert))
    return lambda: Counts(inserted=total - gone - old, updated=old, deleted=deleted)


def delete_all(connection: Connection, stage: Stage, also: LiteralString = "") -> tuple[int, int]:
    """Delete the target's rows of all staged keys; how many of them were gone, and how many are to come back."""
    query = sql.SQL(
        "with d as (delete from {} t using {} s where {}{} returning s.gone)"
        " select count(*) filter (where gone), count(*) filter (where not gone) from d"
    )
    deleted, old = fetch_one(connection, query.format(stage.relation.rows, stage.table, stage.match, sql.SQL(also)))
    return deleted, old

"""Writes a batch of one master's changes on another first, and looks afterwards whether any of them meets a rival.

Few do, and writing a row locks it just as well as locking it does. So where every staged key could be written (a row
that was deleted or updated is locked, a key that was inserted is taken) nobody else can get at these keys any more, and
a look in a *new* statement sees all that was done to them before. If no version that is here competes, what is written
stays. Else, or if a key was not as the source's last act lets expect, all of it is taken back, and the batch goes the
way of `swap`, which locks in key order and judges before it writes.

Left to that way from the beginning: counters, which are added to what is there once it is locked; tables at which an
application stood in the way, for this way keeps to no order; and batches with a rival that is here already.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from replicator.apply import meeting, write
from replicator.apply.arrival import Arrival
from replicator.change import Counts
from replicator.failpoint import failpoint
from replicator.postgres import fetch_one


def write_ahead(arrival: Arrival) -> Counts | None:
    """Write what is staged; None, and nothing is written or locked, if it has to be judged first."""
    stage = arrival.stage
    if arrival.wary or stage.gains or stage.replaces or stage.text:
        return None
    total, gone, made, rivals = fetch_one(arrival.connection, _expected(arrival))
    matched = total - gone - made
    if rivals or (matched and not stage.assigned):  # where nothing is assigned nothing would be locked
        return None
    with arrival.connection.transaction() as attempt:
        counts = _write(arrival, gone, matched, made)
        failpoint("apply.before-look")
        if counts is not None and fetch_one(arrival.connection, meeting.rivals_now(arrival))[0]:
            counts = None
        if counts is None:
            raise psycopg.Rollback(attempt)
    return counts


def insert_absent(arrival: Arrival, which: sql.SQL) -> int:
    """Insert those staged rows whose keys nobody has taken; how many. which: a condition on `s`."""
    return arrival.execute(
        "{insert} where not s.gone and {which} on conflict ({keys}) do nothing",
        insert=arrival.stage.insert,
        which=which,
        keys=sql.SQL(", ").join(sql.Identifier(name) for name in arrival.stage.relation.key),
    )


def _expected(arrival: Arrival) -> sql.Composed:
    """How many rows are staged, how many of them to delete and to insert, and whether there is a rival already."""
    return arrival.compose(
        "select x.*, case when {possible} then ({rivals}) else false end from (select count(*),"
        " count(*) filter (where gone), count(*) filter (where not gone and op = 'I') from {stage}) x",
        possible=meeting.may_have_rivals(arrival),
        rivals=meeting.any_rivals(arrival),
    )


def _write(arrival: Arrival, gone: int, matched: int, made: int) -> Counts | None:
    """Write so many rows of each kind; None as soon as some are not as expected. In the order of `swap`."""
    connection, stage = arrival.connection, arrival.stage
    if gone and write.delete_gone(connection, stage)() != gone:
        return None
    if matched and write.update_matched(connection, stage, " and s.op <> 'I'" if made else "")() != matched:
        return None
    if made and insert_absent(arrival, sql.SQL("s.op = 'I'")) != made:
        return None
    return Counts(inserted=made, updated=matched, deleted=gone)

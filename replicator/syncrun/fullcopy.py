"""Writes one table of a fullcopy's batch: the whole of it, in place of what the target holds.

In the batch's own transaction, by the sync's `copymethod`. First copies of other syncs are `table_copy`'s.
"""

from __future__ import annotations

from psycopg import sql

from replicator.apply import diff, onward, park
from replicator.apply.pump import pump
from replicator.apply.stage import Stage
from replicator.change import Counts
from replicator.failpoint import failpoint
from replicator.model import CopyMethod
from replicator.syncrun.job import Job
from replicator.syncrun.ready import Ready
from replicator.table_copy import Pair


def copy_whole(job: Job, ready: Ready, pair: Pair, *, careful: bool) -> Counts:
    """Replace a table's rows on the target with the source's. careful: set rows aside that the target refuses.

    Raises the drivers' errors.
    """
    job.report(f"copying {pair.name}")
    link, target, stage = job.link, ready.target, Stage(pair.target, text=careful)
    park.drop_all(target, link, pair.name)
    failpoint("fullcopy.before-emptying")
    deleted = _empty(job, ready, pair)
    failpoint("fullcopy.after-emptying")
    if careful or link.sync.copymethod is CopyMethod.DIFF:
        counts = _copy_staged(job, ready, pair, stage, careful)
    else:
        counts = Counts(inserted=_pump(job, ready, pair, stage))
    failpoint("fullcopy.after-rows")
    onward.note_stage(target, link, stage)
    return counts + Counts(deleted=deleted)


def _empty(job: Job, ready: Ready, pair: Pair) -> int:
    method, target = job.link.sync.copymethod, ready.target
    if method is CopyMethod.TRUNCATE:
        rows = sql.SQL("select count(*) from {}").format(pair.target.rows)
        ((deleted,),) = target.execute(rows).fetchall()
        target.execute(sql.SQL("truncate {}").format(pair.target.identifier))
        return int(deleted)
    if method is CopyMethod.DELETE:
        return target.execute(sql.SQL("delete from {}").format(pair.target.rows)).rowcount
    return 0


def _copy_staged(job: Job, ready: Ready, pair: Pair, stage: Stage, careful: bool) -> Counts:
    stage.create(ready.target)
    query = sql.SQL("select false, x.* from ({}) x").format(_whole(pair, stage))
    stage.fill(ready.source.connection, query, ready.target, job.moved, binary=pair.source.binary)
    return diff.replace_different(ready.target, job.link, stage, sql.SQL("true"), careful=careful)


def _pump(job: Job, ready: Ready, pair: Pair, stage: Stage) -> int:
    into = sql.SQL("{} ({})").format(
        pair.target.identifier, sql.SQL(", ").join(sql.Identifier(name) for name in stage.names)
    )
    binary = pair.source.binary and pair.target.binary
    query = _whole(pair, stage)
    return pump(ready.source.connection, query, ready.target, into, binary=binary, moved=job.moved)


def _whole(pair: Pair, stage: Stage) -> sql.Composed:
    values = [
        sql.SQL("t.{}::{}").format(
            sql.Identifier(name), sql.SQL("text" if stage.text else pair.source.column(name).stage_type)
        )
        for name in stage.names
    ]
    return sql.SQL("select {} from {} t").format(sql.SQL(", ").join(values), pair.source.rows)

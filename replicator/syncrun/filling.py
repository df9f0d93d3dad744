"""Fills in, with a batch, a part of the values of columns that the target lacked when their rows travelled.

Which columns those are is `definitions`'s, how a part is brought is `apply.fill`'s; here it is noted what is left.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

from replicator import columns
from replicator.apply import fill, write
from replicator.apply.arrival import Arrival
from replicator.change import Counts
from replicator.columns import Known
from replicator.failpoint import failpoint
from replicator.logs import log
from replicator.model import TableName
from replicator.syncrun.definitions import TableRefused, filled
from replicator.syncrun.job import Job
from replicator.syncrun.ready import Ready


def fill_in(
    job: Job, ready: Ready, name: TableName, filling: dict[TableName, Known], arrival: Arrival | None, *, careful: bool
) -> Counts:
    """Bring a part of a table's values. `filling` says what is left to bring, before and after.

    arrival: how the target judges what comes, on a master. Raises TableRefused when careful, else the drivers' errors.
    """
    link, pair, known = job.link, ready.pairs[name], filling[name]
    present = known.filling & known.common
    part = fill.Part(link, pair.source, pair.target, present, known.after, arrival)
    try:
        with ready.target.transaction() if careful else nullcontext():
            done = fill.fill(ready.source.connection, ready.target, part, job.moved)
    except write.REFUSALS as error:
        if not careful:
            raise
        why = (error.diag.message_primary or str(error)).strip()
        raise TableRefused(name, f"{link.target.name} refuses values of its new columns: {why}") from error
    left = replace(known, after=done.after)
    if done.after is None:
        left = filled(known)
        log.info("%s -> %s: %s: its new columns are filled in", link.source.name, link.target.name, name)
        del filling[name]
    else:
        filling[name] = left
    failpoint("fill.before-note")
    columns.save(ready.target, link, {name: left})
    failpoint("fill.after-note")
    return Counts(updated=done.rows)

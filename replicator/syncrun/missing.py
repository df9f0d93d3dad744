"""Finds the tables that a link's target never had or is to have anew, and copies, joins or accepts them.

How a copy runs is `table_copy`'s; here it is decided which tables take part, and what becomes of those that cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from replicator import progress
from replicator.apply.session import open_target
from replicator.capture import Kind, notes
from replicator.capture.captured import logs
from replicator.capture.schema import create_schema
from replicator.change import Counts
from replicator.errors import Unreachable
from replicator.logs import log
from replicator.model import Link, OneTimeCopy, TableName
from replicator.postgres import Connection
from replicator.progress import TablePosition, TableState
from replicator.snapshot import Snapshot
from replicator.syncrun.fitting import Fitted
from replicator.syncrun.job import Job
from replicator.table_copy import Pair, copy_tables, join
from replicator.table_copy.copy import exported, holds
from replicator.table_copy.join import reverse
from replicator.table_copy.meanwhile import Judges


def find_missing(job: Job, source: Connection, target: Connection, fitted: Fitted, overwrite: bool) -> list[Pair]:
    """The tables that the target is to get or to get anew; those that it cannot are parked."""
    link = job.link
    position = progress.read(target, link.install, link.sync.name, link.source.name)
    shared = position.snapshot if position else None
    known = progress.tables(target, link.install, link.sync.name, link.source.name)
    if job.swap and not overwrite:
        fitted.park(_lost(job, fitted.pairs.values(), known, shared))
    missing = [pair for pair in fitted.pairs.values() if overwrite or not holds(known.get(pair.name), pair, shared)]
    if job.swap and link.source.name == link.lead:
        missing = _with_broken_off(job, source, missing, fitted.pairs)
    if job.kind is Kind.ROWS:
        why = f"it is to be copied, and {link.target.name} has columns more, whose values that would lose"
        fitted.park({pair.name: why for pair in missing if pair.name in fitted.wider})
    return [pair for pair in missing if pair.name in fitted.pairs]


def copy_missing(
    job: Job, ends: tuple[Connection, Connection], missing: Sequence[Pair], overwrite: bool
) -> tuple[Counts, tuple[str, ...]]:
    """Copy, join or accept the tables that the target does not have; what was written, and the names of those copied.

    ends: the source's connection and the target's. Raises SchemaMismatch (two masters meet and hold different rows).
    """
    link, (_, target) = job.link, ends
    as_equal = link.sync.onetimecopy is OneTimeCopy.OFF
    follows_lead = job.swap and link.source.name != link.lead
    if not missing or follows_lead or (job.kind is Kind.TOUCH and not as_equal):
        return Counts(), ()  # in a swap the lead's link does it for both; a fullcopy's first copy is a run like any
    counts = _join(job, ends, missing, as_equal, overwrite) if job.swap else _copy(job, target, missing, as_equal)
    return counts, () if as_equal else tuple(str(pair.name) for pair in missing)


def _copy(job: Job, target: Connection, missing: Sequence[Pair], as_equal: bool) -> Counts:
    with exported(job.connector, job.link) as snapshot:
        if as_equal:
            _take_as_equal(job.link, target, missing, snapshot.snapshot)
            return Counts()
        return copy_tables(job.connector, job.link, missing, snapshot, job.report, job.stop)


def _join(
    job: Job, ends: tuple[Connection, Connection], missing: Sequence[Pair], as_equal: bool, overwrite: bool
) -> Counts:
    source, target = ends
    _have_noted(job, [pair.name for pair in missing])
    back_link = reverse(job.link)
    captured = logs(target, job.link.install)
    back = [Pair(pair.target, pair.source, captured[pair.name, Kind.ROWS]) for pair in missing]
    create_schema(source, job.link.install)
    if not as_equal:
        return join(
            job.connector,
            job.link,
            missing,
            back,
            job.report,
            job.stop,
            Judges(job.rules, job.resolvers, job.names),
            thirds=job.thirds,
            overwrite=overwrite,
        )
    with exported(job.connector, job.link) as here, exported(job.connector, back_link) as there:
        with open_target(job.connector, back_link, "join") as writer:
            _take_as_equal(back_link, writer, back, there.snapshot)
        _take_as_equal(job.link, target, missing, here.snapshot)
    return Counts()


def _have_noted(job: Job, names: Sequence[TableName]) -> None:
    """Have the other masters note what arrives there, before anything is copied: a new one is to judge by it.

    One that cannot be reached begins with it as its own links are made ready, before any batch arrives there.
    """
    install = job.link.install
    for third in job.thirds:
        try:
            with job.connector.open(third, f"{job.link.sync.name} join", autocommit=True) as connection:
                if progress.exists(connection, install):
                    create_schema(connection, install)
                    notes.begin(connection, install, names)
        except Unreachable as error:
            log.warning("%s: %s is not there to be told that a master joins: %s", job.link, third.name, error)


def _lost(
    job: Job, pairs: Iterable[Pair], known: Mapping[TableName, TablePosition], shared: Snapshot | None
) -> dict[TableName, str]:
    """Tables of which changes of a master were missed, with what to do."""
    had = {name for name, position in known.items() if position.state is not TableState.COPYING}
    link = job.link
    return {
        pair.name: f"on {link.source.name} its change log was begun anew, or no longer reaches back to where"
        f" {link.target.name} is: changes are lost. Compare with `replicator verify {link.sync.name}`, then copy anew:"
        f" `replicator update sync {link.sync.name} --onetimecopy always`"
        for pair in pairs
        if pair.name in had and not holds(known[pair.name], pair, shared)
    }


def _with_broken_off(
    job: Job, source: Connection, missing: Sequence[Pair], pairs: Mapping[TableName, Pair]
) -> list[Pair]:
    """Also the tables of which the source was being filled from the target: these flow the other way already."""
    back = progress.tables(source, job.link.install, job.link.sync.name, job.link.target.name)
    broken_off = {name for name, at in back.items() if at.state is TableState.COPYING}
    wanted = {pair.name for pair in missing} | broken_off
    return [pair for name, pair in pairs.items() if name in wanted]


def _take_as_equal(link: Link, target: Connection, pairs: Sequence[Pair], snapshot: Snapshot) -> None:
    with target.transaction():
        for pair in pairs:
            at = TablePosition(TableState.COPIED, pair.captured.id, snapshot)
            progress.save_table(target, link, pair.name, at)

"""Lets a slave of a swap follow another lead from where the former one has brought it, without a copy.

Of each row of the new lead's log it can be told whether the slave has what it is about: from the slave's position, the
former lead's will (`succession`), and the author's transaction, which stands in the row. The slave goes on from before
the oldest that it may lack. What comes twice does no harm: a batch carries rows as they are. Rows of the former lead
that the new one has yet to get stay on the slave, and change there once the new lead has decided about them.

Tables of which this cannot be told (see `_whole`) are left to be copied anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from replicator import columns, progress, succession
from replicator.capture import Captured, Kind
from replicator.capture.captured import logs
from replicator.capture.delta import unseen
from replicator.failpoint import failpoint
from replicator.model import Database
from replicator.postgres import Connection, fetch_one
from replicator.progress import Origin, TablePosition, TableState
from replicator.snapshot import Snapshot
from replicator.succession import Left
from replicator.syncrun.job import Job

Seen = Mapping[int, Snapshot | None]
"""What the slave has of each master, by number; None where that cannot be said."""


def take_over(job: Job, source: Connection, target: Connection) -> None:
    """Let the target go on from the link's source, if it is a slave that has followed another master until now."""
    link = job.link
    if not link.led:
        return
    with target.transaction():
        for former in job.topology.masters(link.sync):
            if former == link.source:
                continue
            # Locked first: its last batch may be under way.
            progress.read(target, link.install, link.sync.name, former.name, lock=True)
            left = succession.read(target, link.install, link.sync.name)
            if former.name in left and link.source.name not in left:
                _follow(job, (source, target), former, left[former.name])
            progress.forget(target, link.install, link.sync.name, former.name)
        failpoint("handover.before-commit")
    failpoint("handover.after-commit")


def _follow(job: Job, ends: tuple[Connection, Connection], former: Database, left: Left) -> None:
    """Make of the former lead's position one on the new lead, for all tables of which that can be done."""
    link, (source, target) = job.link, ends
    if link.source.name not in (left.will or {}):
        return
    origin = progress.origin(source, link.install)
    seen = _seen(job, source, origin, former, left)
    there = seen[link.source.id]
    if there is None or seen[former.id] is None:
        return
    captured = _whole(job, ends, former, there)
    if not captured:
        return
    start = _start(job, source, captured, seen)
    for log in captured:
        _rename(job, target, former, log)
    progress.save(target, link, start, origin)
    job.report(f"follows {link.source.name} from where {former.name} has brought it")


def _seen(job: Job, source: Connection, here: Origin, former: Database, left: Left) -> Seen:
    """By histories as the new lead knows them: of another history its log says nothing."""
    link, found = job.link, dict[int, Snapshot | None]()
    for master in job.topology.masters(link.sync):
        if master == link.source:
            origin: Origin | None = here
        else:
            position = progress.read(source, link.install, link.sync.name, master.name)
            origin = position.origin if position else None
        found[master.id] = left.seen(master.name, former.name, origin) if origin else None
    return found


def _whole(job: Job, ends: tuple[Connection, Connection], former: Database, there: Snapshot) -> list[Captured]:
    """The new lead's logs of the tables that the slave holds as the former lead did, no more and no less.

    There the new lead's log must be all that has happened to its table since what the former lead had of it (`there`):
    rows that came by a later copy are in no log.
    """
    link, (source, target) = job.link, ends
    tables = progress.tables(target, link.install, link.sync.name, former.name)
    known = columns.read(target, link.install, link.sync.name, former.name)
    return [
        log
        for (name, kind), log in logs(source, link.install).items()
        if kind is Kind.ROWS
        and log.versions
        and name in link.tables
        and there.sees(log.whole_from)
        and name in tables
        and tables[name].state is TableState.LIVE
        and not (name in known and (known[name].parked or known[name].filling))
    ]


def _start(job: Job, source: Connection, captured: list[Captured], seen: Seen) -> Snapshot:
    """A snapshot of the new lead's from which on its log holds all that the slave may lack."""
    oldest = [
        sql.SQL("select min(l.xid) as xid from {} l where {}").format(
            sql.Identifier(job.link.install.schema, log.log), _lacking(job.link.source, log, seen)
        )
        for log in captured
    ]
    query = sql.SQL("select least(txid_snapshot_xmin(txid_current_snapshot()), min(x.xid)) from ({}) x")
    (xid,) = fetch_one(source, query.format(sql.SQL(" union all ").join(oldest)))
    return Snapshot(xid, xid)


def _lacking(lead: Database, log: Captured, seen: Seen) -> sql.Composed:
    """That the slave may lack what log row `l` of the new lead is about.

    Gains of counters do not say by which transaction they were made elsewhere: of these tables all comes again that
    is from elsewhere and still in the log.
    """
    own = seen[lead.id]
    assert own is not None
    others = [
        sql.SQL("when l.origin = {} then coalesce({}, true) ").format(sql.Literal(node), unseen("l.source_xid", at))
        for node, at in seen.items()
        if node != lead.id and at is not None and not log.counters
    ]
    return sql.SQL("case when l.origin is null then {} {}else true end").format(
        unseen("l.xid", own), sql.Composed(others)
    )


def _rename(job: Job, target: Connection, former: Database, log: Captured) -> None:
    """Let what is kept of a table be of the new lead."""
    link, schema = job.link, sql.Identifier(job.link.install.schema)
    here = [link.sync.name, former.name, log.table.schema, log.table.name]
    of_table = sql.SQL("sync = %s and source = %s and schema_name = %s and table_name = %s")
    for relation in ("progress_table", "table_columns", "parked"):
        query = sql.SQL("update {}.{} set source = %s where {}").format(schema, sql.Identifier(relation), of_table)
        target.execute(query, [link.source.name, *here])
    progress.save_table(target, link, log.table, TablePosition(TableState.LIVE, log.id, None))

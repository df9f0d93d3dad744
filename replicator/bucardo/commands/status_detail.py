"""What `bucardo_ctl status SYNC` prints: twenty lines or so under a rule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from replicator.bucardo import standing
from replicator.bucardo.session import Session
from replicator.bucardo.standing import Row, ago
from replicator.bucardo.syncs import as_columns
from replicator.catalog import RunRecord
from replicator.model import SyncType, Topology

RULE = "=" * 70
WIDTH = 23


def block(session: Session, row: Row) -> Iterator[str]:
    """The lines of one sync."""
    topology = session.topology
    sync = row.status.sync
    herd = topology.herds[sync.herd]
    yield RULE
    yield _line("Sync name", sync.name)
    yield _line("Current state", f"{row.state} (PID = {row.pid})" if row.pid else row.state)
    yield _line("Type", str(sync.type))
    yield _line("Source herd/database", f"{herd.name} / {herd.database}")
    yield from _targets(row, topology)
    yield _line("Tables in sync", str(len(herd.tables)))
    yield from _runs(row)
    yield from _files(session, row)
    yield from _options(row)


def _targets(row: Row, topology: Topology) -> Iterator[str]:
    for name in row.status.sync.targets:
        group = topology.dbgroups.get(name)
        yield _line("Target group" if group else "Target database", name)


def _runs(row: Row) -> Iterator[str]:
    yield _line("Last good", _since(row, row.good))
    if row.good:
        finished = row.good.finished_at.astimezone()
        yield _line("Last good time", f"{finished:%b %d, %Y %H:%M:%S}  Target: {row.good.target}")
        yield _line("Ins/Upd/Del", standing.counts(row.good).replace("/", " / "))
    yield _line("Last bad", _since(row, row.bad))
    if row.bad:
        finished = row.bad.finished_at.astimezone()
        yield _line("Last bad time", f"{finished:%b %d, %Y %H:%M:%S}  Target: {row.bad.target}")
        yield _line("Latest bad reason", " ".join((row.bad.error or "").split()))


def _since(row: Row, run: RunRecord | None) -> str:
    if run is None:
        return "unknown"
    took: timedelta = run.finished_at - run.started_at
    return f"{ago(row.at - run.finished_at, spaced=True)} (time to run: {ago(took)})"


def _files(session: Session, row: Row) -> Iterator[str]:
    path = session.habits.controller_pid(row.status.sync.name)
    if row.pid and path.exists():
        yield _line("PID file", str(path))
        yield _line("PID file created", time.ctime(path.stat().st_mtime))


def _options(row: Row) -> Iterator[str]:
    values = as_columns(row.status.sync, row.kept)
    yield _line("Status", str(values["status"]))
    yield _line("Limitdbs", str(values["limitdbs"]))
    yield _line("Priority", str(values["priority"]))
    yield _line("Checktime", values["checktime"] or "none")
    yield _line("Overdue time", str(values["overdue"]))
    yield _line("Expired time", str(values["expired"]))
    yield _two("Stayalive", values["stayalive"], "Kidsalive", values["kidsalive"])
    yield _two("Rebuild index", values["rebuild_index"], "Do_listen", values["do_listen"])
    yield _two("Ping", values["ping"], "Makedelta", values["makedelta"])
    yield _line("Onetimecopy", str(values["onetimecopy"]))
    if row.status.sync.type is SyncType.FULLCOPY:
        yield _line("Custom select", str(values["usecustomselect"]))
        yield _line("Post-copy analyze", str(values["analyze_after_copy"]))
        yield _line("Delete method", str(values["deletemethod"]))


def _line(label: str, value: str) -> str:
    return f"{label + ':':<{WIDTH}}{value}"


def _two(one: str, first: str | None, other: str, second: str | None) -> str:
    return f"{_line(one, str(first)):<{WIDTH + 9}}{other + ':':<{WIDTH - 8}}{second}"

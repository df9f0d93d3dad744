"""`bucardo_ctl status`: a table of all syncs, or a block for each one named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from replicator import status
from replicator.bucardo import naming, standing
from replicator.bucardo.commands.status_detail import block
from replicator.bucardo.grammar import Line
from replicator.bucardo.session import Failed, Session
from replicator.bucardo.standing import Row, ago
from replicator.catalog import RunRecord
from replicator.errors import UsageError
from replicator.status import SyncStatus

COLUMNS = ("Name", "Type", "State", "PID", "Last_good", "Time", "I/U/D", "Last_bad", "Time")
RUNS = 1000


def run(session: Session) -> None:
    """Show how syncs stand. Exit code 1 when there are none."""
    line = session.line
    names = [sync.name for sync in naming.syncs(session, line.words)] if line.words else list(session.topology.syncs)
    days = int(session.option("daysback") or 3)
    overview = status.overview(session.catalog, session.connector, names)
    print(header(session, days, overview.pid))
    if not names:
        print("No syncs have been created yet.")
        raise Failed(1)
    rows = [_row(session, found, days) for found in overview.syncs]
    if line.words:
        print("\n".join(part for row in rows for part in block(session, row)))
        return
    cells = ordered([_cells(row, line) for row in rows], line.options.get("sort", "1"))
    print("\n".join(standing.table(COLUMNS, cells)))


def header(session: Session, days: int, pid: int | None) -> str:
    """The first line."""
    catalog = session.config.catalog
    place = f"User: {catalog.get('user', '')}  Database: {catalog['dbname']}"
    return f"Days back: {days}  {place}" + (f"  PID of Bucardo MCP: {pid}" if pid else "")


def _row(session: Session, found: SyncStatus, days: int) -> Row:
    states = [state for state in session.catalog.states() if state.sync == found.sync.name]
    alive = session.catalog.locked("sync", found.sync.name)
    now = session.now()
    runs = [r for r in session.catalog.runs(found.sync.name, RUNS) if r.finished_at > now - timedelta(days=days)]
    return Row(
        status=found,
        pid=states[0].pid if states and alive else None,
        good=_first(runs, good=True),
        bad=_first(runs, good=False),
        at=now,
        kept=session.catalog.habits().get(("sync", found.sync.name), {}),
    )


def _first(runs: Sequence[RunRecord], *, good: bool) -> RunRecord | None:
    return next((run for run in runs if (run.error is None) is good), None)


def _cells(row: Row, line: Line) -> list[str]:
    def since(run: RunRecord | None) -> str:
        if run is None:
            return "unknown"
        return ago(row.at - run.finished_at, days=line.on("showdays"), compress=line.on("compress"))

    def took(run: RunRecord | None) -> str:
        return ago(run.finished_at - run.started_at) if run else ""

    pid = str(row.pid) if row.pid else ""
    good = [since(row.good), took(row.good), standing.counts(row.good)]
    return [row.status.sync.name, row.kind, row.state, pid, *good, since(row.bad), took(row.bad)]


def ordered(rows: list[list[str]], column: str) -> list[list[str]]:
    """The rows by a column, 1 to 9, downward with a minus before it. Raises UsageError. Pure."""
    number = int(column)
    if not 1 <= abs(number) <= len(COLUMNS):
        raise UsageError(f"Invalid sort: {column} (1 to {len(COLUMNS)} expected, with - before it for downward)")
    return sorted(rows, key=lambda row: row[abs(number) - 1], reverse=number < 0)

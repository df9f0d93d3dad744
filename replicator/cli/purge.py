"""`replicator purge`: remove the change log rows that nobody needs now, and show what is kept and for whom.

The daemon does the same every few seconds. This command begins its generations anew each time, so it removes nothing
from the logs of a swap; it shows why they are kept.
"""

from __future__ import annotations

from datetime import datetime

import typer

from replicator import signals
from replicator.cli import output
from replicator.cli.session import Json, Session
from replicator.purge import Purger, PurgeReport
from replicator.status import burden


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("purge")(purge)


def purge(context: typer.Context, json: Json = False) -> int:
    """Remove change log rows that nobody needs, and show what is kept. Exit code 4 when a server does not answer."""
    session: Session = context.obj
    stop = signals.Stop()
    signals.install_handlers(stop)
    purged = Purger(session.connector, stop).once(measured=True)
    stop.raise_if_set()
    links = list(session.catalog.topology().all_links(session.config.install))
    late = burden.late(burden.measure(session.connector, links), session.config)
    if json:
        output.dump({"logs": purged.reports, "silent": purged.silent, "late": late})
    else:
        columns = ("Database", "Table", "Log", "Removed", "Kept", "Oldest", "Kept for")
        output.table(columns, [_row(report) for report in purged.reports], empty="There are no change logs.")
    for name, why in purged.silent.items():
        typer.echo(f"replicator: {name} is left out: {why}", err=True)
    for one in late:
        typer.echo(f"replicator: {one.sync}: {one}", err=True)
    return 4 if purged.silent else 0


def _row(report: PurgeReport) -> tuple[object, ...]:
    kept = report.kept if report.exact else f"about {report.kept}"
    return report.node, report.table, report.kind, report.deleted, kept, _time(report.oldest), report.holder


def _time(moment: datetime | None) -> str:
    return moment.isoformat(sep=" ", timespec="seconds") if moment else ""

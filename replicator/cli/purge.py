"""`replicator purge`: remove the change log rows that nobody needs now, and show what is kept and for whom.

The daemon does the same every few seconds. This command begins its generations anew each time, so it removes nothing
from the logs of a swap; it shows why they are kept. What the daemon does not do is the freezer's: its days stay until
somebody, or a timer, asks with `--history`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from replicator import signals
from replicator.catalog import Catalog
from replicator.cli import output
from replicator.cli.session import Json, Session
from replicator.purge import Purger, PurgeReport
from replicator.status import burden


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("purge")(purge)


IN_VIEW = timedelta(minutes=5)
"""How long a run stays in the view q, as Bucardo's users know it."""


def purge(
    context: typer.Context,
    json: Json = False,
    history: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Also move finished runs from the view q to the freezer, and drop its days older than that.",
        ),
    ] = None,
) -> int:
    """Remove change log rows that nobody needs, and show what is kept. Exit code 4 when a server does not answer."""
    session: Session = context.obj
    stop = signals.Stop()
    signals.install_handlers(stop)
    purged = Purger(session.connector, stop).once(measured=True)
    stop.raise_if_set()
    links = list(session.catalog.topology().all_links(session.config.install))
    late = burden.late(burden.measure(session.connector, links), session.config)
    frozen, dropped = _keep_history(session, history) if history is not None else (0, 0)
    if json:
        found = {"logs": purged.reports, "silent": purged.silent, "late": late, "frozen": frozen, "dropped": dropped}
        output.dump(found)
    else:
        columns = ("Database", "Table", "Log", "Removed", "Kept", "Oldest", "Kept for")
        output.table(columns, [_row(report) for report in purged.reports], empty="There are no change logs.")
        if history is not None:
            typer.echo(f"Runs moved to the freezer: {frozen}. Days dropped from it: {dropped}.")
    for name, why in purged.silent.items():
        typer.echo(f"replicator: {name} is left out: {why}", err=True)
    for one in late:
        typer.echo(f"replicator: {one.sync}: {one}", err=True)
    return 4 if purged.silent else 0


def _keep_history(session: Session, days: int) -> tuple[int, int]:
    """Move and drop; how many runs, and how many days."""
    with Catalog.open(session.connector, "purge") as catalog:
        return catalog.freeze_runs(IN_VIEW), catalog.drop_frozen(timedelta(days=days))


def _row(report: PurgeReport) -> tuple[object, ...]:
    kept = report.kept if report.exact else f"about {report.kept}"
    return report.node, report.table, report.kind, report.deleted, kept, _time(report.oldest), report.holder


def _time(moment: datetime | None) -> str:
    return moment.isoformat(sep=" ", timespec="seconds") if moment else ""

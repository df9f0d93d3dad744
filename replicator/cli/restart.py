"""`replicator restart`: stop the daemon if it runs, and start it."""

from __future__ import annotations

import typer

from replicator import daemon
from replicator.cli.session import Session
from replicator.cli.start import said
from replicator.cli.stop import Timeout, stop


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restart")(restart)


def restart(context: typer.Context, timeout: Timeout = daemon.STOP_SECONDS) -> None:
    """Stop the daemon if it runs, and start it."""
    session: Session = context.obj
    stop(context, timeout)
    typer.echo(said(daemon.start(session.config).pid))

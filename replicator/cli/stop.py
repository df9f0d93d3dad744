"""`replicator stop`: stop the daemon, and say so when it is gone."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator import daemon
from replicator.cli.session import Session

Timeout = Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long to wait until it is gone.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stop")(stop)


def stop(context: typer.Context, timeout: Timeout = daemon.STOP_SECONDS) -> None:
    """Stop the daemon and wait until it and its controllers are gone."""
    session: Session = context.obj
    pid = daemon.stop(session.config, timeout)
    typer.echo(f"Stopped the daemon (pid {pid})." if pid else "The daemon is not running.")

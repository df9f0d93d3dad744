"""`replicator log`: print the daemon's log."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator import logs
from replicator.cli.session import Session
from replicator.errors import ReplicatorError

OneSync = Annotated[str | None, typer.Argument(metavar="[SYNC]", help="Only what concerns this sync.")]
Lines = Annotated[int, typer.Option("-n", "--lines", metavar="N", min=0, help="How many lines, counted from the end.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is written from now on.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("log")(log)


def log(context: typer.Context, sync: OneSync = None, lines: Lines = 50, follow: Follow = False) -> None:
    """Print the end of the daemon's log."""
    session: Session = context.obj
    path = session.config.log_file
    if not path.exists():
        raise ReplicatorError(f"{path}: there is no log yet.", hint="The daemon writes it: `replicator start`.")
    written = logs.follow(path) if follow else iter(())
    for line in logs.tail(path, lines, sync):
        typer.echo(line)
    for line in logs.select(written, sync):
        typer.echo(line)

"""`replicator start`: start the daemon and say so once it is ready."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator.cli.session import Session

Foreground = Annotated[bool, typer.Option("--foreground", help="Stay in the terminal, and log there too.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("start")(start)


def start(context: typer.Context, foreground: Foreground = False) -> int:
    """Start the daemon. A daemon that is running already is left alone."""
    session: Session = context.obj
    if foreground:
        from replicator import lifeline, master  # noqa: PLC0415  (only this path is the daemon itself)

        return master.run(session.config, echo=True, ready=lifeline.tell_system)
    from replicator import daemon  # noqa: PLC0415

    started = daemon.start(session.config)
    typer.echo(f"The daemon is already running (pid {started.pid})." if started.already else said(started.pid))
    return 0


def said(pid: int) -> str:
    """What is said of a daemon that has started."""
    return f"Started the daemon (pid {pid})."

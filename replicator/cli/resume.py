"""`replicator resume`: let paused syncs run again, and see that they do."""

from __future__ import annotations

from functools import partial

import typer

from replicator.cli.pause import ACKNOWLEDGE, came_true, running
from replicator.cli.session import Session
from replicator.cli.syncs import Syncs, named
from replicator.errors import ReplicatorError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resume")(resume)


def resume(context: typer.Context, syncs: Syncs) -> None:
    """Let paused syncs run again, and wait until their controllers have taken over."""
    session: Session = context.obj
    for sync in named(session, syncs):
        session.catalog.set_paused(sync.name, False)
        if not running(session):
            typer.echo(f"Resumed sync {sync.name}: it runs when the daemon, which is not running, is started.")
        elif came_true(partial(session.catalog.locked, "sync", sync.name)):
            typer.echo(f"Resumed sync {sync.name}." if sync.paused else f"Sync {sync.name} was not paused.")
        else:
            raise ReplicatorError(
                f"sync {sync.name} is declared to run, but its controller has not started in {ACKNOWLEDGE:g} s.",
                hint=f"See `replicator log {sync.name}`.",
            )

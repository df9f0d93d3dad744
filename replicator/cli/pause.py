"""`replicator pause` and what `resume` shares with it: declare syncs off, and see that they stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import typer

from replicator.cli.session import Session
from replicator.cli.syncs import Syncs, named
from replicator.errors import ReplicatorError

ACKNOWLEDGE = 20.0
"""Seconds within which a controller stops or starts, unless something is wrong."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pause")(pause)


def pause(context: typer.Context, syncs: Syncs) -> None:
    """Declare syncs off, also for later starts of the daemon, and wait until they have stopped."""
    session: Session = context.obj
    for sync in named(session, syncs):
        session.catalog.set_paused(sync.name, True)
        if not running(session):
            typer.echo(f"Paused sync {sync.name}: it stays off when the daemon, which is not running, is started.")
        elif came_true(partial(_stopped, session, sync.name)):
            typer.echo(f"Sync {sync.name} is paused already." if sync.paused else f"Paused sync {sync.name}.")
        else:
            raise ReplicatorError(
                f"sync {sync.name} is declared paused, but its controller has not stopped in {ACKNOWLEDGE:g} s.",
                hint=f"See `replicator log {sync.name}`.",
            )


def _stopped(session: Session, name: str) -> bool:
    return not session.catalog.locked("sync", name)


def running(session: Session) -> bool:
    """Whether the daemon runs, here or elsewhere."""
    from replicator import daemon  # noqa: PLC0415

    return session.catalog.locked("master") or daemon.running(session.config) is not None


def came_true(condition: Callable[[], bool], seconds: float = ACKNOWLEDGE) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True

"""`bucardo_ctl reload`: has syncs begin anew, with what is declared and what their servers hold now."""

from __future__ import annotations

from functools import partial

from replicator.bucardo import naming
from replicator.bucardo.session import Session
from replicator.cli.pause import came_true
from replicator.errors import DaemonNotRunning, ReplicatorError, UsageError


def run(session: Session) -> None:
    """Let each one's controller leave, and another one begin. Raises what keeps that from happening."""
    words = session.line.words
    if not words:
        raise UsageError("Usage: reload SYNC...")
    chosen = naming.syncs(session, words)
    for sync in chosen:
        if sync.paused:
            raise UsageError(f'Cannot reload inactive sync "{sync.name}"')
    if not session.daemon_runs():
        raise DaemonNotRunning("Bucardo is not running, nothing was reloaded. See `bucardo_ctl start`.")
    for sync in chosen:
        session.say(f"Reloading sync {sync.name}...", end="")
        session.catalog.set_paused(sync.name, True)
        left = came_true(partial(_locked, session, sync.name, False))
        session.catalog.set_paused(sync.name, False)
        if not left or not came_true(partial(_locked, session, sync.name, True)):
            session.say("")
            raise ReplicatorError(f'sync "{sync.name}" has not begun anew in time.', hint="See the log.")
        session.say("DONE!")


def _locked(session: Session, name: str, wanted: bool) -> bool:
    return session.catalog.locked("sync", name) is wanted

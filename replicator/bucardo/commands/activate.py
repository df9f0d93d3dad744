"""`bucardo_ctl activate` and `deactivate`: let syncs run or rest, from now on and over restarts of the daemon."""

from __future__ import annotations

from functools import partial

from replicator.bucardo import naming
from replicator.bucardo.session import Failed, Session
from replicator.cli.pause import came_true
from replicator.errors import UsageError

WORDS = {"activate": "Activating", "deactivate": "Deactivating"}
WITHOUT_END = 10.0**9


def run(session: Session) -> None:
    """Declare it, and see that a running daemon follows. Exit code 1 when it does not."""
    words, seconds = naming.with_seconds(session.line.words)
    if not words:
        raise UsageError(f"Usage: {session.line.verb} SYNC... [SECONDS]")
    rests = session.line.verb == "deactivate"
    for sync in naming.syncs(session, words):
        session.say(f"{WORDS[session.line.verb]} sync {sync.name}", end="")
        session.catalog.set_paused(sync.name, rests)
        if seconds is not None and session.daemon_runs():
            done = came_true(partial(_followed, session, sync.name, rests), seconds or WITHOUT_END)
            session.say("...OK" if done else "...Timed out!")
            if not done:
                raise Failed(1)
            continue
        session.say("")
        if session.daemon_runs() and not came_true(partial(_followed, session, sync.name, rests)):
            raise UsageError(f'Sync "{sync.name}" is declared so, but its controller has not followed yet')


def _followed(session: Session, name: str, rests: bool) -> bool:
    return session.catalog.locked("sync", name) is not rests

"""`bucardo_ctl ping`: one line for a monitoring system on whether the daemon lives."""

from __future__ import annotations

from replicator.bucardo.session import Failed, Session
from replicator.cli.pause import came_true
from replicator.errors import UsageError

PATIENCE = 15.0


def run(session: Session) -> None:
    """Ask for so many seconds. Exit code 1 when there is no answer: the daemon is gone, or away from its catalog."""
    words = session.line.words
    if len(words) > 1 or (words and not words[0].isdigit()):
        raise UsageError("Usage: ping [SECONDS]")
    seconds = float(words[0]) if words else PATIENCE
    if came_true(lambda: session.daemon_pid() is not None and session.catalog.locked("master"), seconds):
        print(f"OK: Got response from PID {session.daemon_pid()}")
        return
    print(f"CRITICAL: Timed out ({seconds:g} s), no ping response from MCP")
    raise Failed(1)

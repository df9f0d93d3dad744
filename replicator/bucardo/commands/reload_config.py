"""`bucardo_ctl reload_config`: has the daemon act by the settings as they are now.

It hears of each `set` by itself; this command waits until every sync works by what is declared at this moment.
"""

from __future__ import annotations

from replicator.bucardo.session import Failed, Session
from replicator.cli.pause import ACKNOWLEDGE, came_true
from replicator.errors import DaemonNotRunning


def run(session: Session) -> None:
    """Exit code 1 when that takes longer than the given seconds."""
    words = session.line.words
    if not session.daemon_runs():
        raise DaemonNotRunning("Bucardo is not running; it will read the settings when it starts.")
    session.say("Forcing Bucardo to reload the bucardo_config table...", end="")
    session.catalog.touch()
    wanted = session.catalog.revision()
    seconds = float(words[0]) if words and words[0].isdigit() else ACKNOWLEDGE
    if came_true(lambda: _followed(session, wanted), seconds):
        session.say("DONE!")
        return
    session.say("Timed out!")
    raise Failed(1)


def _followed(session: Session, revision: int) -> bool:
    running = {sync.name for sync in session.topology.syncs.values() if not sync.paused}
    states = [state for state in session.catalog.states() if state.sync in running]
    return all(state.revision >= revision for state in states)

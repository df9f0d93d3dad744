"""The moment at which a new sync begins: from then on its sources note what changes, whether or not the daemon runs.

Bucardo puts its triggers in place when a sync is added, so what is written before `start` arrives after it.
"""

from __future__ import annotations

import sys

from replicator.bucardo.session import Session
from replicator.catalog import State
from replicator.cli.pause import came_true
from replicator.errors import ReplicatorError
from replicator.model import OneTimeCopy, Sync
from replicator.signals import Stop
from replicator.syncrun import LinkRunner

SECONDS = 20.0
"""How long a running daemon may take to begin with a sync."""


def begin(session: Session, name: str) -> None:
    """Have the sources of a sync log changes from now on, for its targets as they are.

    With a running daemon its controller does so, and this waits for it; a sync that it cannot begin is reported.
    """
    sync = session.topology.syncs[name]
    if session.daemon_runs() and not sync.paused:
        if not came_true(lambda: _begun(session, sync), SECONDS):
            trouble = [state.detail for state in session.catalog.states() if state.sync == name and state.detail]
            print(f'Sync "{name}" has not begun yet: {"; ".join(trouble) or "no word of it"}', file=sys.stderr)
    elif sync.onetimecopy is OneTimeCopy.OFF:
        try:
            _prepare(session, sync)
        except ReplicatorError as error:
            print(f'Sync "{name}" begins when the daemon can reach its servers: {error}', file=sys.stderr)


def _begun(session: Session, sync: Sync) -> bool:
    states = {(s.source, s.target): s.state for s in session.catalog.states() if s.sync == sync.name}
    links = session.topology.links(session.config.install, sync)
    return all(states.get((a.source.name, a.target.name)) in (State.IDLE, State.RUNNING) for a in links if a.active)


def _prepare(session: Session, sync: Sync) -> None:
    topology = session.topology
    links = topology.links(session.config.install, sync)
    # In a swap the lead's link opens both directions.
    for link in sorted(links, key=lambda link: link.source.name != link.lead):
        if link.active:
            runner = LinkRunner(link, topology, session.connector, Stop(), lambda _: None)
            try:
                runner.prepare()
            finally:
                runner.close()

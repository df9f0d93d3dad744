"""Waits until every target has what its source has, telling what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable

from provision.change import Note
from provision.errors import HostFailed, Interrupted
from replicator.catalog import Catalog
from replicator.catalog import State as LinkState
from replicator.postgres import Connector
from replicator.status import LinkStatus, Overview, overview

STUCK_SECONDS = 60.0
"""How long to wait while nothing moves. While something moves (a first copy may take hours), waiting goes on."""

POLL_SECONDS = 0.1
LIVE_SECONDS = 15.0
"""How long to wait for targets that follow all right, but are never quite there: somebody keeps writing."""

SURE = 2
"""Looks in a row without lag: what one sync has brought, another may only then begin to take further."""


def caught_up(catalog: Catalog, connector: Connector, note: Note, stopped: Callable[[], bool]) -> None:
    """Wait. Raises HostFailed when a link waits for a person, or nothing moves for a minute."""
    calm, moved_at, before = 0, time.monotonic(), ""
    live_since: float | None = None
    while calm < SURE:
        if stopped():
            raise Interrupted
        seen = overview(catalog, connector)
        behind = [link for sync in seen.syncs if not sync.sync.paused for link in sync.links if _behind(link)]
        _give_up_if_hopeless(seen, behind)
        calm = 0 if behind else calm + 1
        now = "; ".join(_words(link) for link in behind)
        if now != before:
            moved_at, before = time.monotonic(), now
            note(now or "every target has caught up")
        live_since = (live_since or time.monotonic()) if all(map(_follows, behind)) else None
        if live_since and time.monotonic() - live_since > LIVE_SECONDS:
            return
        if time.monotonic() - moved_at > STUCK_SECONDS:
            raise HostFailed(f"nothing has moved for {STUCK_SECONDS:g} s: {now}.", hint="See `replicator status`.")
        if calm < SURE:
            time.sleep(POLL_SECONDS)


def _behind(link: LinkStatus) -> bool:
    settled = link.state in (LinkState.IDLE, LinkState.RUNNING) and link.lag.rows == 0
    return link.link.active and not settled


def _follows(link: LinkStatus) -> bool:
    """Whether a link is past its first copy and at work."""
    return link.state in (LinkState.IDLE, LinkState.RUNNING) and link.lag.rows is not None


def _give_up_if_hopeless(seen: Overview, behind: list[LinkStatus]) -> None:
    if not seen.running:
        raise HostFailed("the replicator's daemon is not running any more.", hint="See its log (`replicator log`).")
    for link in behind:
        if link.state == LinkState.WAITING:
            raise HostFailed(f"{link.link}: {link.detail}", hint="Mend that; it goes on by itself.")


def _words(link: LinkStatus) -> str:
    detail = link.detail or link.lag.problem
    if not detail and link.lag.rows:
        detail = f"{link.lag.rows} changes behind"
    return f"{link.link}: {link.state}{', ' + detail if detail else ''}"

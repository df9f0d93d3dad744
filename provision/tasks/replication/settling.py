"""Waits for syncs that are at work already: a rolling run goes on only when every target has caught up."""

from __future__ import annotations

from collections.abc import Callable

from provision.change import Note
from provision.tasks.node import Site
from provision.tasks.replication.catchup import caught_up
from provision.tasks.replication.handover import told_as_ours
from provision.tasks.replication.settings import Settings
from replicator.catalog import Catalog


def settled(site: Site, note: Note, stopped: Callable[[], bool]) -> None:
    """Wait until every active link has caught up; at once where the replicator has not been set up yet.

    Raises HostFailed, Interrupted.
    """
    settings = Settings(site)
    with told_as_ours():
        if settings.config() is None:
            return
        connector = settings.connector()
        with Catalog.open(connector, "provision") as catalog:
            caught_up(catalog, connector, note, stopped)

"""Waits for syncs that are at work already: a rolling run goes on only when every target has caught up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from provision.change import Note
from provision.inventory import Host, runner
from provision.tasks.node import Site
from provision.tasks.replication.catchup import caught_up
from provision.tasks.replication.daemons import told_as_ours
from provision.tasks.replication.reach import Reach
from provision.tasks.replication.settings import Settings
from provision.tasks.service import UNIT
from provision.transport import connect
from replicator.catalog import Catalog

SECONDS = 30.0


def settled(site: Site, note: Note, stopped: Callable[[], bool]) -> None:
    """Wait until every active link has caught up; at once where the replicator has not been set up yet.

    Raises HostFailed, Unreachable, Interrupted.
    """
    host = runner(site.inventory)
    if not (_there(site, host) if host else _here(site)):
        return
    with told_as_ours(), Reach(site) as reach:
        connector = reach.connector()
        with Catalog.open(connector, "provision") as catalog:
            caught_up(catalog, connector, note, stopped)


def _here(site: Site) -> bool:
    with told_as_ours():
        return Settings(site).config() is not None


def _there(site: Site, host: Host) -> bool:
    with closing(connect(host, site.keeper)) as transport:
        said = transport.run(f"systemctl show -p LoadState {UNIT}\n", timeout=SECONDS)
    return said.rc == 0 and "LoadState=loaded" in said.out

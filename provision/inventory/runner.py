"""Which host runs the replicator. Pure."""

from __future__ import annotations

from provision.inventory.model import Host, Inventory
from provision.inventory.replication import CONTROL


def runner(inventory: Inventory) -> Host | None:
    """The host that runs the replicator as a service; None: the machine that provision runs on.

    It is the one that `runs_on` names. Where none is named: this machine if all hosts are on it, else the first host
    that a sync reads from (the first master); where there are no syncs, the catalog's.
    """
    declared = inventory.replication
    if declared is None or declared.runs_on == CONTROL or all(host.local for host in inventory.hosts):
        return None
    sources = [declared.databases[declared.herds[sync.source].database].host for sync in declared.syncs.values()]
    host = inventory.host(declared.runs_on or next(iter(sources), declared.catalog.host))
    return None if host.local else host

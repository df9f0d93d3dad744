"""What a host's size and its part in the syncs make of its server's settings: rows for postgresql.conf."""

from __future__ import annotations

from provision.inventory import SyncType
from provision.tasks.node import Node
from provision.tasks.starts import members
from provision.tuning import Tuned, tuned

CONNECTIONS = 100
"""As the template has it, unless `postgresql.settings` says otherwise."""
SMALL = (Tuned("shared_buffers", "128MB", "a quarter of the memory on a machine of its own"),)


def rows(node: Node) -> tuple[Tuned, ...]:
    """The settings, in order."""
    return (*_size(node), *_syncs(node))


def _size(node: Node) -> tuple[Tuned, ...]:
    """Hosts of this machine share it, and so stay small."""
    if not node.host.tuning:
        return SMALL
    chosen = node.host.postgresql.settings.get("max_connections")
    connections = chosen if isinstance(chosen, int) and chosen > 0 else CONNECTIONS
    version = node.host.postgresql.version or 0
    return tuned(node.traits.memory_mb, node.traits.cpus, connections=connections, major=version)


def _syncs(node: Node) -> tuple[Tuned, ...]:
    found = [
        Tuned("wal_level", "replica", "enough for standbys and backups; the syncs' triggers need no more"),
        Tuned("max_wal_senders", 10, "for standbys and backups"),
        Tuned("max_replication_slots", 10, "the same"),
    ]
    if swaps(node):
        found.append(Tuned("track_commit_timestamp", True, "a swap is here: tells when a row was written last"))
    return tuple(found)


def swaps(node: Node) -> bool:
    """Whether a database of the host is a member of a swap."""
    declared = node.site.inventory.replication
    if declared is None:
        return False
    here = {name for name, database in declared.databases.items() if database.host == node.name}
    return any(
        here & set(members(declared, name)) for name, sync in declared.syncs.items() if sync.type is SyncType.SWAP
    )

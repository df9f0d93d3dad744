"""What a host's size and its part in the syncs make of its server's settings: rows for postgresql.conf."""

from __future__ import annotations

from provision.inventory import Capture, SyncType
from provision.tasks.node import Node
from provision.tasks.starts import members
from provision.tuning import Tuned, tuned

CONNECTIONS = 100
"""As the template has it, unless `postgresql.settings` says otherwise."""
SLOTS = 10
"""As many as PostgreSQL has by default."""
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
        Tuned("max_replication_slots", SLOTS, "the same"),
    ]
    if decoded := _decoded(node):
        found[0] = Tuned("wal_level", "logical", "syncs read the changes of a database here from the WAL")
        found[2] = Tuned("max_replication_slots", SLOTS + decoded, "for standbys, backups, and a database's changes")
    if swaps(node):
        found.append(Tuned("track_commit_timestamp", True, "a swap is here: tells when a row was written last"))
    return tuple(found)


def decodes(node: Node) -> bool:
    """Whether the changes of a database of the host are captured from the WAL."""
    return _decoded(node) > 0


def _decoded(node: Node) -> int:
    """How many databases these are; each takes a replication slot."""
    declared = node.site.inventory.replication
    here = [database for database in declared.databases.values() if database.host == node.name] if declared else []
    return sum(database.capture is Capture.WAL for database in here)


def swaps(node: Node) -> bool:
    """Whether a database of the host is a member of a swap."""
    declared = node.site.inventory.replication
    if declared is None:
        return False
    here = {name for name, database in declared.databases.items() if database.host == node.name}
    return any(
        here & set(members(declared, name)) for name, sync in declared.syncs.items() if sync.type is SyncType.SWAP
    )

"""What must be logged on a node, by the syncs that read there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from replicator.model import SyncType, TableName, Topology


class Kind(StrEnum):
    """What a log holds."""

    ROWS = "rows"  # the key of every changed row
    TOUCH = "touch"  # only that something changed


@dataclass(frozen=True)
class Need:
    """What one table needs on one node. versions: the log must serve to compare changes of several masters.

    counters: columns that, where the table has them, are logged by how much they changed.
    """

    kinds: frozenset[Kind] = field(default_factory=frozenset)
    versions: bool = False
    counters: tuple[str, ...] = ()

    def __or__(self, other: Need) -> Need:
        counters = dict.fromkeys((*self.counters, *other.counters))
        return Need(self.kinds | other.kinds, self.versions or other.versions, tuple(counters))


def needs(topology: Topology, database: str) -> dict[TableName, Need]:
    """The tables that must be captured on a node, over all syncs (paused ones too: they will go on later)."""
    wanted: dict[TableName, Need] = {}
    for sync in topology.syncs.values():
        swap = sync.type is SyncType.SWAP
        if database not in {reader.name for reader in topology.masters(sync)}:
            continue
        kind = Kind.TOUCH if sync.type is SyncType.FULLCOPY else Kind.ROWS
        for table in topology.herds[sync.herd].tables:
            need = Need(frozenset({kind}), versions=swap, counters=sync.counters_of(table) if swap else ())
            wanted[table] = wanted.get(table, Need()) | need
    return wanted

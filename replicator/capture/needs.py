"""What must be logged on a node, by the syncs that read there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from replicator.model import Sync, SyncType, TableName, Topology


class Kind(StrEnum):
    """What a log holds."""

    ROWS = "rows"  # the key of every changed row
    TOUCH = "touch"  # only that something changed


@dataclass(frozen=True)
class Need:
    """What one table needs on one node. versions: the log must serve to compare changes of several masters.

    counters: columns that, where the table has them, are logged by how much they changed. notes: what arrives from
    another master must be in the log too. It need not where that master is the only one who reads the log: its own
    log has what it sent, and what it sends is judged by what was written here. Then only a row that is in the log
    anyway is noted there again, for its newest version is to be told from what was written here before.
    """

    kinds: frozenset[Kind] = field(default_factory=frozenset)
    versions: bool = False
    counters: tuple[str, ...] = ()
    notes: bool = False

    def __or__(self, other: Need) -> Need:
        counters = dict.fromkeys((*self.counters, *other.counters))
        notes = self.notes or other.notes or bool(self.kinds and other.kinds)
        return Need(self.kinds | other.kinds, self.versions or other.versions, tuple(counters), notes)


def needs(topology: Topology, database: str) -> dict[TableName, Need]:
    """The tables that must be captured on a node, over all syncs (paused ones too: they will go on later)."""
    wanted: dict[TableName, Need] = {}
    for sync in topology.syncs.values():
        swap = sync.type is SyncType.SWAP
        if database not in {reader.name for reader in topology.masters(sync)}:
            continue
        kind = Kind.TOUCH if sync.type is SyncType.FULLCOPY else Kind.ROWS
        for table in topology.herds[sync.herd].tables:
            counters = sync.counters_of(table) if swap else ()
            notes = bool(counters) or not _between_two(topology, sync)
            need = Need(frozenset({kind}), versions=swap, counters=counters, notes=notes)
            wanted[table] = wanted.get(table, Need()) | need
    return wanted


def _between_two(topology: Topology, sync: Sync) -> bool:
    """Whether a sync is of two masters, and nobody else is to have what they send each other."""
    alone = len(topology.masters(sync)) == 2 and not topology.slaves(sync)
    return sync.type is SyncType.SWAP and alone and not sync.makedelta

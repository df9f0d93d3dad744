"""Counts conflicts. A ledger is read once and not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from replicator.errors import ReplicatorError
from replicator.ledger.entry import Conflict
from replicator.ledger.reading import Filters, ask_masters
from replicator.model import Install, TableName, Topology
from replicator.postgres import Connector


class Group(NamedTuple):
    """What conflicts are counted by. winner: a node, `merged` or `neither`."""

    sync: str
    table: TableName
    kind: str
    winner: str


@dataclass(frozen=True)
class Stats:
    """How many conflicts there were, the most frequent group first, and by the day (UTC) on which they were decided."""

    groups: Mapping[Group, int]
    days: Mapping[date, int]
    silent: Mapping[str, ReplicatorError]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.groups.values())


Counted = dict[int, tuple[datetime, Group]]
"""By the hash of the conflict's identity: a ledger's entries would not all fit into memory, these do."""


def stats(topology: Topology, install: Install, connector: Connector, filters: Filters) -> Stats:
    """Count conflicts. One that two masters noted counts once, as the first to note it saw it."""
    answers = ask_masters(topology, install, connector, filters, _count)
    all_notes: Counted = {}
    for counted in answers.given.values():
        for identity, note in counted.items():
            all_notes[identity] = min(note, all_notes.get(identity, note))
    groups = Counter(group for _, group in all_notes.values())
    days = Counter(at.date() for at, _ in all_notes.values())
    return Stats(dict(groups.most_common()), dict(sorted(days.items())), answers.silent)


def _count(notes: Iterator[Conflict]) -> Counted:
    groups: dict[Group, Group] = {}
    counted: Counted = {}
    for note in notes:
        group = Group(note.sync, note.table, note.kind, note.ending)
        counted[hash(note.identity)] = note.decided_at, groups.setdefault(group, group)
    return counted

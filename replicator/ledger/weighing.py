"""Counts conflicts, and tells how they would have ended by another strategy. A ledger is read once and not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple

from replicator.conflict import Claim, Version, row_name, rule
from replicator.errors import ReplicatorError
from replicator.ledger.entry import Conflict, merged
from replicator.ledger.reading import Filters, ask_masters
from replicator.model import Install, TableName, Topology
from replicator.postgres import Connector


class Group(NamedTuple):
    """What conflicts are counted by. winner: a node."""

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
        group = Group(note.sync, note.table, note.kind, note.winner.node)
        counted[hash(note.identity)] = note.decided_at, groups.setdefault(group, group)
    return counted


@dataclass(frozen=True)
class Simulated:
    """changed: conflicts of `total` that would have ended otherwise. changes: the newest of these.

    unknown: conflicts that cannot be judged, because their sync or a node of theirs is no longer declared.
    """

    total: int
    changed: int
    unknown: int
    changes: tuple[Conflict, ...]
    silent: Mapping[str, ReplicatorError]


def simulate(topology: Topology, install: Install, connector: Connector, strategy: str, filters: Filters) -> Simulated:
    """How recorded conflicts would have ended by a strategy. filters.limit: how many of the changed ones to tell."""
    limit = filters.limit

    def judge(notes: Iterator[Conflict]) -> tuple[dict[int, bool | None], list[Conflict]]:
        verdicts: dict[int, bool | None] = {}
        changes: list[Conflict] = []
        for note in notes:
            verdict = would_change(topology, strategy, note)
            verdicts[hash(note.identity)] = verdict
            if verdict and (limit is None or len(changes) < limit):
                changes.append(note)
        return verdicts, changes

    answers = ask_masters(topology, install, connector, replace(filters, limit=None), judge)
    verdicts = {identity: verdict for judged, _ in answers.given.values() for identity, verdict in judged.items()}
    counts = Counter(verdicts.values())
    changes = merged((note for _, some in answers.given.values() for note in some), limit)
    return Simulated(len(verdicts), counts[True], counts[None], tuple(changes), answers.silent)


def would_change(topology: Topology, strategy: str, conflict: Conflict) -> bool | None:
    """Whether the other side would have won by that strategy; None when that cannot be told. Pure."""
    sync = topology.syncs.get(conflict.sync)
    incoming, local = (topology.databases.get(side.node) for side in (conflict.incoming, conflict.local))
    if sync is None or incoming is None or local is None:
        return None
    judged = rule(topology, sync, strategy)
    claims = (
        Claim(Version(conflict.incoming.at, incoming.id), incoming.id),
        Claim(Version(conflict.local.at, local.id), local.id),
    )
    return judged.wins(*claims, row_name(conflict.table, conflict.key)) != conflict.incoming_wins

"""A conflict as people see it: two sides, a winner, a name. Pure.

Two masters that meet each other's changes at the same time both note the conflict. That is one conflict: the same
sync, table and key, and the same two versions. It goes by the name of the earlier note; `also` has the other's.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from replicator.model import Strategy, TableName

Row = Mapping[str, Any]
"""An image of a row: numbers with a fraction are Decimals, so none is rounded."""

MERGED, NEITHER = "merged", "neither"

WORDS = {"I": "insert", "U": "update", "D": "delete", "K": "unique key"}
"""K: another row had the value that only one may have."""


@dataclass(frozen=True)
class Side:
    """What one node had last done to the key, when, and the row as it left it (None: deleted, or not read)."""

    node: str
    op: str
    at: datetime
    row: Row | None = None


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A conflict that was decided on `node` when a change from another master met a local one there.

    rule: the strategy by which it was decided. also: the names of further notes of it.
    merges: a function made a third row of both. merged: that row, when images are read.
    """

    node: str
    number: int
    sync: str
    table: TableName
    key: Row
    incoming: Side
    local: Side
    incoming_wins: bool
    rule: str
    decided_at: datetime
    also: tuple[str, ...] = ()
    merges: bool = False
    merged: Row | None = None

    @property
    def name(self) -> str:
        """How people call it: `node:number`."""
        return f"{self.node}:{self.number}"

    @property
    def kind(self) -> str:
        """What met what: `update/delete` is an update that arrived where the row had been deleted."""
        return f"{_word(self.incoming.op)}/{_word(self.local.op)}"

    @property
    def sides(self) -> tuple[Side, Side]:
        """The incoming one, the local one."""
        return self.incoming, self.local

    @property
    def unique_key(self) -> bool:
        """Whether two rows of different keys had one value of another unique key."""
        return self.local.op == "K"

    @property
    def ending(self) -> str:
        """How it ended: the node whose row stayed, `MERGED`, or `NEITHER` where each kept its own."""
        if self.merges:
            return MERGED
        if self.left:
            return NEITHER
        return (self.incoming if self.incoming_wins else self.local).node

    @property
    def left(self) -> bool:
        """Whether each side was left with its own row."""
        return self.rule in (Strategy.SKIP, Strategy.ABORT)

    @property
    def losers(self) -> tuple[Side, ...]:
        """The sides of which the row did not stay as it was: one, or both."""
        if self.merges or self.left:
            return self.sides
        return (self.local if self.incoming_wins else self.incoming,)

    @property
    def identity(self) -> Hashable:
        """What all notes of one conflict have in common."""
        versions = frozenset((side.node, side.at) for side in (self.incoming, self.local))
        return self.sync, self.table, written(self.key), versions


def _word(op: str) -> str:
    return WORDS.get(op, op)


def written(value: object) -> str:
    """A value or an image as JSON text; the same for equal ones."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def merged(notes: Iterable[Conflict], limit: int | None = None) -> list[Conflict]:
    """The conflicts that notes of several masters tell of, newest first."""
    first: dict[Hashable, Conflict] = {}
    for note in sorted(notes, key=lambda note: (note.decided_at, note.name)):
        known = first.get(note.identity)
        first[note.identity] = replace(known, also=(*known.also, note.name)) if known else note
    return list(reversed(first.values()))[:limit]

"""Finds the rows that differ: both sides' rows of some ranges, sorted by key, walked side by side. Memory stays flat.

What the rows mean and what becomes of the differences is decided in `compare`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from heapq import merge as merge_sorted
from typing import Any

from psycopg import sql

from replicator.postgres import Connection
from replicator.verify import canonical
from replicator.verify.digest import Reading
from replicator.verify.flight import Direction, Look

AT_ONCE = 5000

KEYED = "select k, n, h from (select {key} as k, {number} as n, {hash} as h from {rows} t where {among}) s order by k"
KEYLESS = """
select k, min(n), count(*) from (select {key} as k, {number} as n from {rows} t where {among}) s
group by k order by k
"""

Entry = tuple[bytes, int, Any]


@dataclass(frozen=True)
class Mismatch:
    """A key whose rows are not the same. number: its range.

    source, target: the row's hash, or without a key how many; None if there is none.
    in_flight: a change of it is on its way, so it may rightly differ.
    """

    key: bytes
    number: int
    source: str | int | None
    target: str | int | None
    in_flight: bool


def mismatches(look: Look, ours: Reading, theirs: Reading, numbers: list[int]) -> Iterator[Mismatch]:
    """Those of some ranges, in the order of their keys. Raises psycopg.Error."""
    if not numbers:
        return
    everything = any(direction.everything() for direction in look.directions)
    with ExitStack() as stack:
        rows = (
            _stream(stack, look.source, _rows(ours, numbers)),
            _stream(stack, look.target, _rows(theirs, numbers)),
        )
        flying = _Flying(stack, look, ours, theirs, everything)
        for one, other in _unequal(*rows):
            key, number, _ = one or other or (b"", 0, None)
            yield Mismatch(key, number, one and one[2], other and other[2], everything or key in flying)


def _rows(reading: Reading, numbers: list[int]) -> sql.Composed:
    return sql.SQL(KEYED if reading.key else KEYLESS).format(
        key=reading.key_bytes,
        number=reading.number,
        hash=reading.row_hash,
        rows=reading.relation.rows,
        among=reading.among(numbers),
    )


def _stream(stack: ExitStack, connection: Connection, query: sql.Composed, name: str = "rows") -> Iterator[Entry]:
    cursor = stack.enter_context(connection.cursor(name=f"verify_{name}", binary=True))
    cursor.itersize = AT_ONCE
    cursor.execute(query)
    return iter(cursor)


def _unequal(ours: Iterator[Entry], theirs: Iterator[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Walk two sorted streams; pairs of one key with different content, and those that only one side has."""
    one, other = next(ours, None), next(theirs, None)
    while one is not None and other is not None:
        if one[0] == other[0]:
            if one[2] != other[2]:
                yield one, other
            one, other = next(ours, None), next(theirs, None)
        elif one[0] < other[0]:
            yield one, None
            one = next(ours, None)
        else:
            yield None, other
            other = next(theirs, None)
    while one is not None:
        yield one, None
        one = next(ours, None)
    while other is not None:
        yield None, other
        other = next(theirs, None)


def _reading(direction: Direction, number: int, ours: Reading, theirs: Reading) -> Reading:
    """How the sender of a direction reads the table: the first is the source's, the second the target's."""
    if direction.relation is None:
        return (ours, theirs)[min(number, 1)]
    columns = canonical.read(direction.sender, direction.relation)
    return replace(ours, relation=direction.relation, columns=columns)


class _Flying:
    """The keys on their way, asked for in ascending order."""

    def __init__(self, stack: ExitStack, look: Look, ours: Reading, theirs: Reading, everything: bool) -> None:
        streams = []
        for number, direction in enumerate(look.directions):
            query = None if everything else direction.keys(_reading(direction, number, ours, theirs))
            if query is not None:
                streams.append(_stream(stack, direction.sender, query, f"way_{number}"))
        self._keys: Iterator[bytes] = merge_sorted(*((row[0] for row in stream) for stream in streams))
        self._next = next(self._keys, None)

    def __contains__(self, key: bytes) -> bool:
        while self._next is not None and self._next < key:
            self._next = next(self._keys, None)
        return self._next == key

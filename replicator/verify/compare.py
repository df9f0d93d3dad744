"""One table compared across one link: what differs for certain, what is only on its way, and rows to show for it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from replicator.model import TableName
from replicator.relations import Relation
from replicator.snapshot import Snapshot
from replicator.verify import details
from replicator.verify.details import Difference
from replicator.verify.digest import Reading, TableDigest, by_range, readings
from replicator.verify.flight import Ends, Look
from replicator.verify.merge import Mismatch, mismatches


class Verdict(StrEnum):
    """What is known of a table at the end."""

    EQUAL = "equal"
    DIFFERS = "differs"  # rows differ that no change on its way explains
    BEHIND = "behind"  # rows differ whose changes have not arrived, and did not while we waited
    FAILED = "failed"  # it could not be compared; `note` says why


@dataclass(frozen=True, kw_only=True)
class TableComparison:
    """A table on both ends of a link. source, target: the databases' names.

    differences: rows that differ for certain, of which `listed` are shown; parked: how many of them are dead letters;
    left: how many a strategy left different.
    behind: rows that differ because their changes have not arrived. moving: rows that had changed again whenever they
    were looked at, while the link kept up. note: a clause for people. exit_code: of the error, when FAILED.
    """

    sync: str
    table: TableName
    source: str
    target: str
    verdict: Verdict = Verdict.EQUAL
    source_digest: TableDigest | None = None
    target_digest: TableDigest | None = None
    differences: int = 0
    parked: int = 0
    left: int = 0
    listed: tuple[Difference, ...] = ()
    behind: int = 0
    moving: int = 0
    note: str = ""
    exit_code: int = 0


@dataclass
class _Found:
    """What one look has found."""

    digests: tuple[TableDigest, TableDigest] | None = None
    differences: int = 0
    parked: int = 0
    left: int = 0
    in_flight: int = 0
    listed: tuple[Difference, ...] = ()
    note: str = ""


class TableComparer:
    """Compares one table in as many looks as it takes: `look` while rows are `in_flight`, then `result`.

    Nothing but counts is kept between looks, and each begins from the digests: what was on its way the last time is
    equal by now or found to differ, and what is on its way now is another matter. So a table of any size, however far
    behind, costs the same memory.
    """

    def __init__(self, ends: Ends, ours: Relation, theirs: Relation, limit: int, *, without: str = "") -> None:
        """without: a clause on what the two are compared without; then they differ, whatever their rows are."""
        self._ends, self._without = ends, without
        self._relations = ours, theirs
        self._limit = limit
        self._readings: tuple[Reading, Reading] | None = None
        self._found = _Found()
        self.seen: tuple[Snapshot, ...] = ()

    @property
    def table(self) -> TableName:
        """The table's name."""
        return self._relations[0].name

    @property
    def in_flight(self) -> int:
        """Rows that differ, and may."""
        return self._found.in_flight

    def look(self) -> None:
        """Compare. Raises psycopg.Error."""
        with self._ends.look(*self._relations) as look:
            if self._readings is None:
                self._readings = readings(look.source, look.target, *self._relations)
            self._found = _Found(note=next((way.note for way in look.directions if way.note), ""))
            self.seen = look.seen
            numbers = self._unequal_ranges(look, *self._readings)
            if numbers:
                self._inspect(look, *self._readings, numbers)

    def _unequal_ranges(self, look: Look, ours: Reading, theirs: Reading) -> list[int]:
        with ThreadPoolExecutor(2) as threads:  # each server computes its own side, at the same time
            halves = threads.submit(by_range, look.source, ours), threads.submit(by_range, look.target, theirs)
            here, there = (half.result() for half in halves)
        self._found.digests = _total(here.values()), _total(there.values())
        return sorted(n for n in here.keys() | there.keys() if here.get(n) != there.get(n))

    def _inspect(self, look: Look, ours: Reading, theirs: Reading, numbers: list[int]) -> None:
        parked = details.parked_keys(look, ours, theirs)
        left = details.left_keys(look, ours, theirs)
        examples: list[Mismatch] = []
        for mismatch in mismatches(look, ours, theirs, numbers):
            if mismatch.in_flight:
                self._found.in_flight += 1
                continue
            self._found.differences += 1
            self._found.parked += mismatch.key in parked
            self._found.left += mismatch.key in left
            if len(examples) < self._limit:
                examples.append(mismatch)
        self._found.listed = tuple(details.describe(look, ours, theirs, examples, parked, left))

    def result(self, *, arrived: bool) -> TableComparison:
        """What is known. arrived: the link has brought over everything that an earlier look saw on its way."""
        found = self._found
        verdict = Verdict.EQUAL
        if found.differences or self._without:
            verdict = Verdict.DIFFERS
        elif found.in_flight and not arrived:
            verdict = Verdict.BEHIND
        ours, theirs = found.digests or (None, None)
        return TableComparison(
            sync=self._ends.link.sync.name,
            table=self.table,
            source=self._ends.link.source.name,
            target=self._ends.link.target.name,
            verdict=verdict,
            source_digest=ours,
            target_digest=theirs,
            differences=found.differences,
            parked=found.parked,
            left=found.left,
            listed=found.listed,
            behind=0 if arrived else found.in_flight,
            moving=found.in_flight if arrived else 0,
            note="; ".join(filter(None, (self._compared, found.note if found.in_flight else ""))),
        )

    @property
    def _compared(self) -> str:
        if not self._without:
            return ""
        equal = not self._found.differences and not self._found.in_flight
        return f"{'equal' if equal else 'compared'} {self._without}"


def _total(parts: Iterable[TableDigest]) -> TableDigest:
    return sum(parts, TableDigest())

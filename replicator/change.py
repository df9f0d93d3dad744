"""What a run did, as numbers: counted once where the rows are written, added up on the way back."""

from __future__ import annotations

from dataclasses import dataclass, fields

from replicator.errors import ReplicatorError


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows written on the target by one run. conflicts: keys changed on both sides; parked: keys set aside.

    aborted: conflicts for which the sync is to pause.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    conflicts: int = 0
    parked: int = 0
    aborted: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    @property
    def rows(self) -> int:
        """Rows written."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One run of a link. seconds: how long it took; copied: tables that were copied whole first.

    trouble: what went wrong once its rows were committed. left: tables that did not travel, with why.
    """

    counts: Counts = Counts()
    seconds: float = 0.0
    copied: tuple[str, ...] = ()
    trouble: ReplicatorError | None = None
    left: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there was nothing to do."""
        return not self.counts.rows and not self.counts.parked and not self.counts.conflicts and not self.copied

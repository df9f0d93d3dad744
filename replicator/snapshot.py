"""Transaction snapshots: which transactions a batch holds, and why none is lost or sent twice.

A batch is what snapshot S2 sees and S1 did not. Both are snapshots of one primary, so S2 sees everything S1 saw, and
each committed transaction turns from unseen to seen exactly once, however late it commits. A change log row carries
its transaction's 64-bit id; the index range `xid >= S1.xmin` bounds the search, `not S1.sees(xid)` decides.
(The idea is PgQ's batch: Skytools, `pgq.batch_event_sql`.)

This module is pure. The text form is PostgreSQL's own, `xmin:xmax:xip,xip`, as `txid_current_snapshot()` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Snapshot:
    """A set of visible transactions.

    xmin: every id below has ended. xmax: no id from here on had begun. xip: the ids in between still in progress.
    """

    xmin: int
    xmax: int
    xip: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read PostgreSQL's text form. Raises ValueError when it is not one."""
        try:
            low, high, running = text.strip().split(":")
            return cls(int(low), int(high), frozenset(int(x) for x in running.split(",") if x))
        except ValueError as error:
            raise ValueError(f"not a transaction snapshot: {text!r}") from error

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(str(x) for x in sorted(self.xip))}"

    def sees(self, xid: int) -> bool:
        """Whether the transaction had ended when the snapshot was taken."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.xip)

    @property
    def settled(self) -> bool:
        """Whether no transaction was in progress: nothing older can still appear."""
        return not self.xip

    def covers(self, other: Snapshot) -> bool:
        """Whether everything that `other` sees is seen here too (both of one primary)."""
        if self.xmax < other.xmax:
            return False
        return all(not other.sees(xid) for xid in self.xip if xid < other.xmax)


NOTHING = Snapshot(xmin=1, xmax=1)
"""Sees no transaction: the position of a target that has nothing."""

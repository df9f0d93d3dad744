"""Engines that are broken on purpose, in a process of their own: the judge must find each of them out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from replicator import progress
from replicator.apply import noting
from replicator.capture import Delta
from replicator.capture.look import Opened
from replicator.change import Counts
from replicator.postgres import Transaction
from replicator.snapshot import Snapshot
from replicator.syncrun.batch import Batch


def position_before_rows() -> None:
    """The position moves in a transaction of its own, before the rows are there."""
    write = Batch._write

    def early(self: Batch, changed: Sequence[Delta], opened: Opened, writing: Transaction) -> Counts:
        _save(self, opened.snapshot)
        for statement in ("commit", "begin"):
            self._ready.target.execute(statement)
        self._ready.position = opened.snapshot
        return write(self, changed, opened, writing)

    Batch._write = early  # type: ignore[method-assign]


def position_after_rows() -> None:
    """The position moves in a transaction of its own, after the rows are there: not at all, should it die before."""
    save, write, thread = progress.save, Batch._write, threading.local()

    def unless_postponed(*args: Any) -> None:
        if not getattr(thread, "postponed", False):
            save(*args)

    def late(self: Batch, changed: Sequence[Delta], opened: Opened, writing: Transaction) -> Counts:
        thread.postponed = self._ready.position is not None
        counts = write(self, changed, opened, writing)
        if thread.postponed:
            thread.postponed = False
            _save(self, opened.snapshot)
        return counts

    progress.save = unless_postponed  # type: ignore[assignment]
    Batch._write = late  # type: ignore[method-assign]


def _save(batch: Batch, snapshot: Snapshot) -> None:
    ready = batch._ready
    progress.save(ready.target, batch._link, snapshot, ready.origin, batch._knowledge.standing)


def no_ledger() -> None:
    """Conflicts are decided, and nobody hears of them."""

    def nothing(_arrival: object, _verdicts: object) -> None:
        pass

    noting.note = nothing

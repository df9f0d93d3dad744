"""Saves with a batch, after its rows, how far the target is: the position, the tables that share it, a lead's will.

How these are kept is `progress`'s and `succession`'s, which tables stay behind is `holding`'s; the commit is `batch`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicator import progress, succession
from replicator.capture import Delta, bell
from replicator.capture.look import Opened
from replicator.failpoint import failpoint
from replicator.model import TableName
from replicator.progress import TablePosition
from replicator.snapshot import Snapshot
from replicator.syncrun import holding
from replicator.syncrun.job import Job
from replicator.syncrun.knowledge import Knowledge
from replicator.syncrun.ready import Ready


class Saving:
    """What of a batch is saved besides its rows. due: move the position even if nothing changed."""

    def __init__(self, job: Job, ready: Ready, knowledge: Knowledge, *, due: bool) -> None:
        self._job, self._link, self._ready = job, job.link, ready
        self._knowledge, self._due = knowledge, due
        self._will: succession.Will | None = None
        self._tables: dict[TableName, TablePosition] = {}

    def must(self, snapshot: Snapshot) -> bool:
        """Whether there is something to save though no row has changed."""
        ready = self._ready
        if ready.position is None or ready.filling or holding.catching_up(ready):
            return True
        return self._due and snapshot != ready.position

    def read(self) -> None:
        """Read what of the source is to be saved on the target, in the transaction that the batch reads."""
        if self._link.led:
            self._will = succession.draw_up(self._ready.source.connection, self._link.install, self._link.sync.name)

    def save(self, changed: Sequence[Delta], opened: Opened) -> None:
        """Write it, and see that the source keeps what the target has from now on."""
        ready, link = self._ready, self._link
        failpoint("save.before-tables")
        names = [delta.relation.name for delta in changed]
        self._tables = holding.stay_behind(link, ready) | holding.go_live(link, ready, names)
        failpoint("save.before-position")
        if self._job.swap or link.sync.makedelta:
            bell.ring(ready.target, link.install)
        progress.save(ready.target, link, opened.snapshot, ready.origin, self._knowledge.standing)
        if link.led:
            succession.keep(ready.target, link, self._will)
        failpoint("save.after-position")
        self._make_durable(opened)

    def _make_durable(self, opened: Opened) -> None:
        """Never let the target be ahead of what the source keeps through a crash."""
        if not (opened.durable or self._ready.source.is_durable(opened.snapshot)):
            failpoint("commit.before-durable")
            self._ready.flusher.flush()
            failpoint("commit.after-durable")

    def note(self, snapshot: Snapshot) -> None:
        """Note, now that it is committed, where the link and its tables are."""
        self._ready.tables |= self._tables
        self._ready.position = snapshot

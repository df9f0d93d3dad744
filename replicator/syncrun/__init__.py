"""One link at work: makes both ends ready, looks whether there is something to move, moves one batch.

    ready ─▶ pending? ─▶ batch: read ─▶ stage ─▶ write | resolve ─▶ save ─▶ commit

When to run, and what to do after an error, is the controller's business.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psycopg

from replicator import postgres
from replicator.apply import write
from replicator.capture import Kind
from replicator.capture.look import Probe
from replicator.change import Counts, RunResult
from replicator.errors import LockedOut, ReplicatorError, Transient
from replicator.failpoint import failpoint
from replicator.hook import Moment
from replicator.model import Link, OneTimeCopy, TableName, Topology
from replicator.postgres import GAVE_WAY, Connection, Connector
from replicator.sequences import oneway
from replicator.signals import Stop
from replicator.snapshot import NOTHING, Snapshot
from replicator.syncrun import hooked
from replicator.syncrun.batch import Batch
from replicator.syncrun.definitions import DefinitionChanged, TableRefused
from replicator.syncrun.every import Every
from replicator.syncrun.job import Job, Report
from replicator.syncrun.ready import Ready, make_ready

HEARTBEAT = 30.0
"""Seconds after which an idle link moves its position too, so that purging can go on and index ranges stay short."""

SEQUENCES_EVERY = 2.0
JOINED_EVERY = 0.5
REST, AT_REST = 2.0, 5.0
"""Seconds between looks of a link for which the bell rings: while something has moved lately, and else."""

LATELY = 30.0

ATTEMPTS = 8

REDEFINED = (
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedTable,
    psycopg.errors.DatatypeMismatch,
    psycopg.errors.CannotCoerce,
)
"""What a server says when a table has changed after it was looked at."""


class LinkRunner:
    """Runs one link; belongs to one thread. After any error: close, wait, and begin again with `prepare`."""

    def __init__(self, link: Link, topology: Topology, connector: Connector, stop: Stop, report: Report) -> None:
        self.link = link
        self._job = Job(link, topology, connector, stop, report)
        self._overwrite = link.sync.onetimecopy is OneTimeCopy.ALWAYS
        self._ready: Ready | None = None
        self._probe: Probe | None = None
        self._snapshot: Snapshot = NOTHING
        self._logged_below = 0
        self._settled = self._early = False
        self._saved_at = self._moved_at = 0.0
        self._joining, self._holding = Every(JOINED_EVERY), Every(JOINED_EVERY)
        self._sequencing = Every(SEQUENCES_EVERY)
        self._redefined = False
        self._refused: dict[TableName, str] = {}
        self._sequences: oneway.Standing = {}
        self._blocked: list[TableName] = []
        self._trouble: ReplicatorError | None = None

    def prepare(self) -> RunResult:
        """Connect, install capture, compare definitions, copy what the target never had. Idempotent.

        Raises SourceReplaced, NotPrimary, SchemaMismatch (two masters hold different rows), and what connecting raises.
        """
        began = time.monotonic()
        self.close()
        with self._translated():
            self._ready, counts, copied = make_ready(self._job, overwrite=self._overwrite, refused=self._refused)
        for name in self._blocked:
            if name in self._ready.pairs:
                self._ready.put_first(name)
        self._moved_at = time.monotonic()
        self._overwrite = self._redefined = False
        self._probe, self._sequences = None, {}
        return RunResult(counts=counts, copied=copied, seconds=time.monotonic() - began)

    def pending(self) -> bool:
        """Whether there may be something to move: one round trip. False, too, while the link is not prepared."""
        if self._ready is None:
            return False
        with self._translated():
            probe = self._ready.source.probe()
            if self._ready.filling or self._redefined_since(self._ready, probe) or self._held_long(self._ready):
                return True
            if self._probe is None or probe.seq != self._probe.seq or self._try_early():
                return True
            if probe.snapshot == self._snapshot:
                return self._joined_meanwhile(self._ready) or self._sequences_moved(self._ready)
            # Something ended since. If all that had been logged was in the batch, it cannot have been a logged change.
            overdue = time.monotonic() - self._saved_at > HEARTBEAT
            if overdue or not self._settled:
                return True
            return self._joined_meanwhile(self._ready) or self._sequences_moved(self._ready)

    def arm(self) -> float:
        """Have the source ring the bell for the next change; look once more after it.

        How many seconds the link may then rest; 0: it does not ring now, try again.
        """
        if self._ready is None:
            return 0.0
        with self._translated():
            if not self._ready.bell.arm():
                return 0.0
        if self._awaits(self._ready):
            return JOINED_EVERY
        return REST if time.monotonic() - self._moved_at < LATELY else AT_REST

    def rang(self) -> bool:
        """Whether the bell rang since the last answer: something was logged. Costs no round trip."""
        if self._ready is None:
            return False
        with self._translated():
            return self._ready.bell.rang()

    def run(self, kicked: bool = False) -> RunResult:
        """Move one batch; a fullcopy copies what changed, or everything when kicked. Prepares first if need be."""
        if self._job.hooks:
            return hooked.run(self._job.hooks, self, partial(self._run, kicked), self._job.stop)
        return self._run(kicked)

    def hooks_connection(self) -> Connection | None:
        """The connection to the target, for hooks beside a batch; None while it is not there."""
        return self._ready.target if self._ready else None

    def _run(self, kicked: bool) -> RunResult:
        prepared = self.prepare() if self._ready is None else RunResult()
        assert self._ready is not None
        if kicked and self._refused:
            self._refused.clear()
            self._redefined = True  # perhaps: nothing shows that values would be taken now
        began = time.monotonic()
        self._trouble = None
        done = self._batch_as_defined(kicked)
        if not done.empty:
            self._moved_at = time.monotonic()
        with self._translated():
            self._carry_sequences(self._ready)  # once the rows are there: not behind any of them
            self._ready.bell.disarm()  # not before: whoever writes waits for nobody, the first row does
        return RunResult(
            trouble=self._trouble,
            counts=prepared.counts + done.counts,
            seconds=prepared.seconds + time.monotonic() - began,
            copied=prepared.copied + done.copied,
            left=tuple(f"{name}: {known.note}" for name, known in self._ready.known.items() if known.parked),
        )

    def close(self) -> None:
        """Drop both connections. Idempotent, raises nothing."""
        for asked in self._job.resolvers.values():
            asked.close()
        self._job.hooks.close()
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.close()

    def _batch_as_defined(self, kicked: bool) -> RunResult:
        """One batch; again, prepared anew, when a definition has changed or a table is to be parked."""
        counts, copied = Counts(), tuple[str, ...]()
        for _ in range(ATTEMPTS):
            assert self._ready is not None
            try:
                with self._translated():
                    return RunResult(counts=counts + self._batch_as_prepared(self._ready, kicked), copied=copied)
            except DefinitionChanged:
                self._refused.clear()
            except TableRefused as refused:
                self._refused[refused.table] = refused.reason
            again = self.prepare()
            counts, copied = counts + again.counts, copied + again.copied
        raise Transient(f"{self.link}: a table's definition changes all the time; looking again.")

    def _batch_as_prepared(self, ready: Ready, kicked: bool) -> Counts:
        """One batch. Raises DefinitionChanged when tables are not what they were when the link was prepared."""
        # While a change is expected it is looked for first; in a batch it is noticed only if there are rows to move.
        if self._redefined or (ready.unequal and ready.defined.changed()):
            raise DefinitionChanged
        try:
            return self._batch(ready, kicked)
        except REDEFINED as error:
            raise DefinitionChanged from error

    def _batch(self, ready: Ready, kicked: bool) -> Counts:
        """One batch; again when it gave way to an application, and with care when a row was refused."""
        careful = False
        for attempt in range(ATTEMPTS):
            try:
                return self._attempt(ready, kicked, careful)
            except write.REFUSALS:
                if careful:
                    raise
                careful = True
            except (LockedOut, *GAVE_WAY) as error:
                if attempt == ATTEMPTS - 1:
                    raise
                self._give_way(attempt, error)
        raise AssertionError

    def _attempt(self, ready: Ready, kicked: bool, careful: bool) -> Counts:
        if self._job.swap and len(ready.tables) < len(ready.pairs):
            ready.look_for_tables(self._job)
        due = time.monotonic() - self._saved_at > HEARTBEAT
        known = self._probe if self._settled else None
        batch = Batch(self._job, ready, kicked=kicked, careful=careful, due=due, known=known)
        try:
            landed = batch.land()
        except (LockedOut, *GAVE_WAY):
            self._lock_first(ready, batch.at)
            raise
        self._settle(landed.probe, landed.snapshot)
        self._early = landed.early
        if landed.saved:
            self._saved_at = time.monotonic()
        if landed.tables and self._job.hooks:
            self._trouble = hooked.afterwards(self._job.hooks, self, Moment.AFTER_TXN, landed.counts, landed.tables)
        return landed.counts

    def _settle(self, probe: Probe, snapshot: Snapshot) -> None:
        """Note whether the batch held all that had been logged at its probe: whoever logged it had an id by then."""
        if self._probe is None or probe.seq != self._probe.seq:
            self._logged_below = probe.upcoming
        self._settled = snapshot.xmin >= self._logged_below
        self._probe, self._snapshot = probe, snapshot

    def _lock_first(self, ready: Ready, name: TableName | None) -> None:
        """Begin with the table at which an application stood in the way.

        Who locks tables in the order in which the applications do meets no tangle, only waits. That order is found
        by this rule after as many attempts as there are tables in it, at the most, and kept.
        """
        if name is not None and name in ready.pairs:
            ready.put_first(name)
            self._blocked = [*(other for other in self._blocked if other != name), name]

    def _give_way(self, attempt: int, error: Exception) -> None:
        self._job.report(f"gave way to an application, tries again: {str(error).splitlines()[0]}")
        self._job.stop.wait(0.01 * 2**attempt * (0.5 + random.random()))
        self._job.stop.raise_if_set()

    def _try_early(self) -> bool:
        """Whether it is time to look if rows have come that something of this link waits for."""
        return self._early and self._joining.due()

    def _held_long(self, ready: Ready) -> bool:
        """Whether to see if tables may be sent again that were held: that they are filled shows on the source only."""
        return bool(ready.held) and self._holding.due()

    def _awaits(self, ready: Ready) -> bool:
        """Whether something is to come that rings no bell."""
        return self._early or bool(ready.held) or self._lacks_tables(ready)

    def _lacks_tables(self, ready: Ready) -> bool:
        return self._job.kind is not Kind.TOUCH and len(ready.tables) < len(ready.pairs)

    def _redefined_since(self, ready: Ready, probe: Probe) -> bool:
        self._redefined = self._redefined or ready.defined.changed_by(probe.snapshot)
        return self._redefined

    def _joined_meanwhile(self, ready: Ready) -> bool:
        """Whether the lead's link has joined a table that this one waits for."""
        if not self._lacks_tables(ready) or not self._joining.due():
            return False
        before = len(ready.tables)
        ready.look_for_tables(self._job)
        return len(ready.tables) > before

    def _sequences_moved(self, ready: Ready) -> bool:
        if self._job.swap or not self.link.sequences or not self._sequencing.due():
            return False
        return oneway.read(ready.source.connection, self.link.sequences) != self._sequences

    def _carry_sequences(self, ready: Ready) -> None:
        if self._job.swap or not self.link.sequences:
            return
        standing = oneway.read(ready.source.connection, self.link.sequences)
        failpoint("sequence.before-write")
        oneway.write(ready.target, {n: at for n, at in standing.items() if self._sequences.get(n) != at})
        failpoint("sequence.after-write")
        self._sequences = standing

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise postgres.translate(error, str(self.link)) from error

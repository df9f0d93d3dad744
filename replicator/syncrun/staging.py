"""Brings a table's part of a batch into its staging table on the target: as arrays when it is small, else by COPY.

What is read is `capture`'s, how it gets over `apply.stage`'s and `apply.parcel`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from replicator import postgres
from replicator.apply import parcel
from replicator.apply.parcel import Parcel
from replicator.apply.pump import copy_out
from replicator.apply.stage import ANYTHING, Holds, Stage
from replicator.apply.supply import Supply
from replicator.capture import Delta
from replicator.failpoint import failpoint
from replicator.model import TableName
from replicator.postgres import Answer, Transaction
from replicator.syncrun.job import Job
from replicator.syncrun.ready import Ready
from replicator.table_copy import Pair


@dataclass(frozen=True)
class Staging:
    """How a batch stages. writing: its transaction on the target. careful: values that no type holds are to be found.

    quick: the batch is small, and nothing is to be awaited but what it depends on. asked: tables of which the rows
    have been asked for. created: the staging tables that the session has from now on, if the batch lands. few: the
    tables that had few rows.
    """

    job: Job
    ready: Ready
    writing: Transaction
    careful: bool
    quick: bool
    asked: Mapping[TableName, Answer[PGresult]]
    created: set[str] = field(default_factory=set)
    few: list[TableName] = field(default_factory=list)

    def stage(self, pair: Pair, delta: Delta, retry: Sequence[str], *, given: bool) -> tuple[Stage, Holds]:
        """Stage the changes of a table, and say what they are. retry: further keys. Raises the drivers' errors.

        given: they are only written, so few rows may be given to each statement instead.
        """
        gains = pair.captured.counters if self.job.swap else ()
        stage = Stage(pair.target, versioned=self.job.swap, gains=gains, few=self.quick)
        try:
            with self.ready.target.transaction() if self.careful else nullcontext():
                return self._fill(pair, delta, stage, retry, given=given)
        except psycopg.errors.DataError:
            unreadable = self.ready.source.connection.info.transaction_status is TransactionStatus.INERROR
            if unreadable or not self.careful:
                raise
            # A value that the target's types cannot even hold: staged as text it can be found and set aside.
            return self._fill(pair, delta, replace(stage, text=True), retry, given=False)

    @contextmanager
    def supply(self, deltas: Sequence[Delta]) -> Iterator[Supply]:
        """The rows of large tables, read ahead table after table. Until all are taken nothing else asks the source."""
        source = self.ready.source
        self.writing.leave()
        with ExitStack() as stack:
            if not self.job.swap:
                stack.enter_context(postgres.by_index(source.connection))
            yield stack.enter_context(Supply(source.connection, [self._copy_out(delta) for delta in deltas]))

    def _copy_out(self, delta: Delta) -> sql.Composed:
        pair = self.ready.pairs[delta.relation.name]
        return copy_out(self.ready.source.rows(delta, Stage(pair.target).names), binary=_binary(pair))

    @contextmanager
    def portions(self, pair: Pair, supply: Supply) -> Iterator[Iterator[Stage]]:
        """A large table's changes, staged a portion at a time in the order of their keys."""
        target = self.ready.target
        stage = Stage(pair.target, versioned=self.job.swap)
        self._make(stage)
        self._before_fill()
        with nullcontext() if self.job.swap else postgres.by_index(target):
            portions = stage.portions(supply, target, self.job.moved, binary=_binary(pair))
            yield (self._filled(stage) for _ in portions)

    def _make(self, stage: Stage) -> None:
        if stage.local_name not in self.ready.stages | self.created:
            stage.create(self.ready.target)
            if not self.careful:  # with care, a savepoint may take it back
                self.created.add(stage.local_name)

    @staticmethod
    def _before_fill() -> None:
        failpoint("stage.before-fill")

    @staticmethod
    def _filled(stage: Stage) -> Stage:
        failpoint("stage.after-fill")
        return stage

    def _fill(
        self, pair: Pair, delta: Delta, stage: Stage, retry: Sequence[str], *, given: bool
    ) -> tuple[Stage, Holds]:
        self._before_fill()
        if self.quick and parcel.fits(pair.source) and parcel.fits(pair.target):
            stage, holds = self._fill_few(pair, delta, stage, retry, given=given)
            return self._filled(stage), holds
        source, target, moved = self.ready.source, self.ready.target, self.job.moved
        query = source.rows(delta, stage.names, retry, text=stage.text)
        self._make(stage)
        self.writing.leave()
        stage.fill(source.connection, query, target, moved, binary=pair.source.binary)
        return self._filled(stage), ANYTHING

    def _fill_few(
        self, pair: Pair, delta: Delta, stage: Stage, retry: Sequence[str], *, given: bool
    ) -> tuple[Stage, Holds]:
        target, moved = self.ready.target, self.job.moved

        def make() -> None:
            self._make(stage)
            self.writing.leave()

        found: Parcel | None
        asked = self.asked.get(pair.name)
        if asked and not retry and (rows := asked()).ntuples <= parcel.FEW:
            found = parcel.answered(rows)
        else:
            source = self.ready.source
            found = stage.fill_few(source.connection, source.rows(delta, stage.names, retry), target, moved, make)
        if found is None:
            return stage, ANYTHING
        moved(found.size)
        if found.rows <= parcel.FEW:
            self.few.append(pair.name)
        # At each commit the server empties every temporary table of a session whose transaction has touched one.
        if given and found.rows <= parcel.FEW and found.size <= parcel.LITTLE and not stage.replaces:
            stage = replace(stage, given=True, parcel=found)
        else:
            self._make(stage)
            stage.carry(found, target)
        return stage, Holds(found.gone, found.kept)


def _binary(pair: Pair) -> bool:
    """Whether a table's rows may travel in binary form."""
    return pair.source.binary and pair.target.binary

"""A run with hooks around it: before it, after it, and when it fails.

Those within a batch are in `batch`, those of each table in `delivery`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

import psycopg

from replicator import postgres
from replicator.change import Counts, RunResult
from replicator.errors import HookRetries, HookSkips, HookStops, Interrupted, ReplicatorError
from replicator.hook import Moment
from replicator.hooks import Hooks
from replicator.logs import log
from replicator.model import TableName
from replicator.postgres import Connection
from replicator.signals import Stop

ATTEMPTS = 5
PAUSE = 0.1
"""Seconds before the second attempt; twice as many before each further one."""


class Runner(Protocol):
    """What is needed of `syncrun.LinkRunner`, which says what each method does."""

    def prepare(self) -> RunResult: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def hooks_connection(self) -> Connection | None: ...  # noqa: D102


def run(hooks: Hooks, runner: Runner, work: Callable[[], RunResult], stop: Stop) -> RunResult:
    """Do a run, again as long as hooks want it (a few times). Raises as the run does."""
    for attempt in range(ATTEMPTS):
        try:
            return _once(hooks, runner, work)
        except ReplicatorError as error:
            if stop.is_set() or not _wanted_again(hooks, runner, error) or attempt == ATTEMPTS - 1:
                raise
        runner.close()
        stop.wait(PAUSE * 2**attempt)
        stop.raise_if_set()
    raise AssertionError


def _once(hooks: Hooks, runner: Runner, work: Callable[[], RunResult]) -> RunResult:
    prepared = runner.prepare() if runner.hooks_connection() is None else RunResult()
    _beside(hooks, runner, Moment.BEFORE_SYNC)
    done = work()
    counts = prepared.counts + done.counts
    return replace(
        done,
        counts=counts,
        copied=prepared.copied + done.copied,
        trouble=done.trouble or afterwards(hooks, runner, Moment.AFTER_SYNC, counts),
    )


def _beside(hooks: Hooks, runner: Runner, moment: Moment, tables: Collection[TableName] = (), **facts: object) -> None:
    try:
        hooks.at(moment, runner.hooks_connection(), tables, **facts)
    except psycopg.Error as error:
        raise postgres.translate(error, f"hooks at {moment}") from error


def afterwards(
    hooks: Hooks, runner: Runner, moment: Moment, counts: Counts, tables: Collection[TableName] = ()
) -> ReplicatorError | None:
    """Run the hooks of a moment at which all is committed. What goes wrong is given back: the run has been good."""
    try:
        _beside(hooks, runner, moment, tables, counts=vars(counts))
    except Interrupted:
        raise
    except ReplicatorError as error:
        return error
    return None


def _wanted_again(hooks: Hooks, runner: Runner, error: ReplicatorError) -> bool:
    """Whether a hook wants a run again that failed. Raises HookSkips or HookStops where a hook says so."""
    if isinstance(error, HookRetries):
        return True
    if isinstance(error, HookSkips | HookStops | Interrupted) or not hooks.have(Moment.EXCEPTION):
        return False
    try:
        _beside(hooks, runner, Moment.EXCEPTION, error=str(error), kind=type(error).__name__)
    except HookRetries:
        return True
    except (HookSkips, HookStops):
        raise
    except ReplicatorError as failed:
        log.warning("%s", failed)
    return False

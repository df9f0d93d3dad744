"""What the catalog keeps besides the declared topology, as values: states, history, kicks, leftovers.

The functions at the end read them from the rows of the queries of their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg.rows import TupleRow

from replicator.change import Counts
from replicator.model import Database, TableName


class State(StrEnum):
    """What a link is doing. Set by its controller alone, stored when it changes.

    Whether the controller lives is not told here: the lock ("sync", name) in the catalog is the truth on that, and
    `Catalog.silence` tells when it last spoke.
    """

    STARTING = "starting"  # connecting, installing capture, comparing tables
    COPYING = "copying"  # a first or whole copy is under way
    IDLE = "idle"  # nothing to move
    RUNNING = "running"  # moving a batch
    RETRYING = "retrying"  # failed; tries again by itself
    WAITING = "waiting"  # failed; a person must mend something
    PAUSED = "paused"  # declared off
    STOPPED = "stopped"  # its controller has left


@dataclass(frozen=True, kw_only=True)
class LinkState:
    """How a link stands. A writer gives all but since and at, which the catalog's clock fills in.

    detail: a sentence for people. pid: the controller's process. revision: the topology that it works by; the Catalog
    that reports fills it in with the last that it read. since: when it came into this state. at: when it said so.
    """

    sync: str
    source: str
    target: str
    state: State
    detail: str = ""
    pid: int = 0
    revision: int = 0
    since: datetime | None = None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run of a link. error: None when it succeeded. attempts: how often in a row it failed in the same way."""

    id: int
    sync: str
    source: str
    target: str
    started_at: datetime
    finished_at: datetime
    counts: Counts
    copied: tuple[str, ...] = ()
    error: str | None = None
    attempts: int = 1


@dataclass(frozen=True, kw_only=True)
class LinkTotal:
    """The sums of a link's runs since its sync was added. last_error belongs to last_bad_at."""

    sync: str
    source: str
    target: str
    runs: int
    failures: int
    counts: Counts
    last_good_at: datetime | None
    last_bad_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, kw_only=True)
class KickResult:
    """What became of a kick on one link. error: None when it succeeded."""

    kick: int
    source: str
    target: str
    done_at: datetime
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """What a removed sync, or a table removed from one, leaves on a node until it is cleaned.

    database: as it was when that was noted; it may be gone from the topology. source: the link whose positions are to
    be forgotten there; None: triggers and change logs are to go. tables: None for all that the sync had.
    error: why it could not be cleaned so far.
    """

    id: int = 0
    database: Database
    sync: str
    source: str | None = None
    tables: tuple[TableName, ...] | None = None
    noted_at: datetime | None = None
    error: str | None = None

    @property
    def held(self) -> bool:
        """Whether it must stay: the step that noted it has not been taken to its end."""
        return self.error == UNASKED


UNASKED = "whether all that was written there has been sent was not asked for the last time"
"""The `error` of what a master leaves that is being let go, until it is known that the others have all of it."""


def _counts(numbers: Sequence[int]) -> Counts:
    inserted, updated, deleted, conflicts, parked = numbers
    return Counts(inserted=inserted, updated=updated, deleted=deleted, conflicts=conflicts, parked=parked)


def kick_result(row: TupleRow) -> KickResult:
    """A row of `kick_results`."""
    kick, source, target, done_at, error = row
    return KickResult(kick=kick, source=source, target=target, done_at=done_at, error=error)


def link_state(row: TupleRow) -> LinkState:
    """A row of `states`."""
    names = ("sync", "source", "target", "state", "detail", "pid", "revision", "since", "at")
    values = dict(zip(names, row, strict=True))
    return LinkState(**{**values, "state": State(values["state"])})


def run_record(row: TupleRow) -> RunRecord:
    """A row of `runs`."""
    number, sync, source, target, started_at, finished_at, *counts = row[:11]
    copied, error, attempts = row[11:]
    return RunRecord(
        id=number,
        sync=sync,
        source=source,
        target=target,
        started_at=started_at,
        finished_at=finished_at,
        counts=_counts(counts),
        copied=tuple(copied),
        error=error,
        attempts=attempts,
    )


def link_total(row: TupleRow) -> LinkTotal:
    """A row of `totals`."""
    sync, source, target, runs, failures, *counts = row[:10]
    last_good_at, last_bad_at, last_error = row[10:]
    return LinkTotal(
        sync=sync,
        source=source,
        target=target,
        runs=runs,
        failures=failures,
        counts=_counts(counts),
        last_good_at=last_good_at,
        last_bad_at=last_bad_at,
        last_error=last_error,
    )


def leftover(row: TupleRow) -> Leftover:
    """A row of `leftovers`."""
    number, name, dbname, host, port, user, options, sync, source, tables, noted_at, error = row
    return Leftover(
        id=number,
        database=Database(name=name, dbname=dbname, host=host, port=port, user=user, options=options),
        sync=sync,
        source=source,
        tables=None if tables is None else tuple(TableName(*pair) for pair in tables),
        noted_at=noted_at,
        error=error,
    )

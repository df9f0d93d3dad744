"""What a run tells while it goes on, and what comes of it: values for `render`, and for whoever reads JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from provision.plan import Plan

if TYPE_CHECKING:  # the replicator's drivers load slowly, and most events have no use for them
    from provision.tasks.replication import Proof


class Outcome(StrEnum):
    """How a task ended on a host."""

    OK = "ok"  # nothing was to be done
    CHANGED = "changed"
    FAILED = "failed"
    SKIPPED = "skipped"  # not tried, because of what failed before


@dataclass(frozen=True)
class Looking:
    """A place is being asked for its facts."""

    place: str


@dataclass(frozen=True)
class Planned:
    """What is to be done at a place is known. first: before anything was done there. bare: it could not be asked."""

    plan: Plan
    first: bool = True
    bare: str = ""


@dataclass(frozen=True)
class StepBegan:
    """A step begins. number, of: its place in the plan, from 1."""

    place: str
    task: str
    summary: str
    number: int
    of: int


@dataclass(frozen=True)
class StepSaid:
    """A step says what it is at."""

    place: str
    text: str


@dataclass(frozen=True)
class StepEnded:
    """A step has ended well. diff: what it changed, as lines."""

    place: str
    task: str
    summary: str
    seconds: float
    diff: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepFailed:
    """A step has failed. output: the last that it said."""

    place: str
    task: str
    summary: str
    seconds: float
    output: str = ""


@dataclass(frozen=True)
class TaskResult:
    """How a task ended at a place."""

    place: str
    task: str
    outcome: Outcome
    changes: int = 0
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class PlaceEnded:
    """A place is done with. code: what it adds to the exit code; settled: asked again, nothing was left to do."""

    place: str
    results: tuple[TaskResult, ...]
    code: int
    settled: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Tick:
    """Time has passed, and nothing has happened."""


@dataclass(frozen=True)
class Proved:
    """The syncs have been put to the proof."""

    proof: Proof


Event = Tick | Proved | Looking | Planned | StepBegan | StepSaid | StepEnded | StepFailed | PlaceEnded

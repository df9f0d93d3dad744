"""Brings one place to its declared state: look, plan, act, look again, until a look finds nothing to do.

A place is a host, or the control machine's part. How it is looked at and acted on is a `Worker`'s affair; here is only
the order of things, and what is told of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from provision.apply.events import (
    Event,
    Looking,
    Outcome,
    PlaceEnded,
    Planned,
    StepBegan,
    StepEnded,
    StepFailed,
    StepSaid,
    TaskResult,
)
from provision.apply.stop import Stop
from provision.errors import HostFailed, Interrupted, ProvisionError, Unreachable
from provision.plan import Obstacle, Plan, Step
from provision.resources.steps import StepEvent, Watch

ROUNDS = 8
"""A fresh host takes two or three looks. More than this, and a step does not do what it says."""

Tell = Callable[[Event], None]


class Worker(Protocol):
    """A place, as `converge` needs it."""

    @property
    def place(self) -> str:
        """Its name."""
        ...

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that want something of it."""
        ...

    def look(self) -> Plan:
        """Gather facts and plan. Raises Unreachable and other ProvisionErrors."""
        ...

    def act(self, steps: Sequence[Step], watch: Watch) -> None:
        """Carry steps out, in order. Raises HostFailed at the first that fails."""
        ...


@dataclass
class Account:
    """What is known of a place's tasks so far."""

    tasks: tuple[str, ...]
    changes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def ended(self, step: Step, seconds: float) -> None:
        """A step has ended well."""
        self.changes[step.task] = self.changes.get(step.task, 0) + 1
        self.seconds[step.task] = self.seconds.get(step.task, 0.0) + seconds

    def results(
        self, place: str, failed: str = "", message: str = "", outcome_of_failed: Outcome = Outcome.FAILED
    ) -> tuple[TaskResult, ...]:
        """How each task ended. failed: the task that did, if one did; those after it were not tried."""
        found = []
        after = False
        for task in self.tasks:
            outcome = Outcome.CHANGED if self.changes.get(task) else Outcome.OK
            said = ""
            if task == failed:
                outcome, said, after = outcome_of_failed, message, True
            elif after and not self.changes.get(task):
                outcome = Outcome.SKIPPED
            found.append(TaskResult(place, task, outcome, self.changes.get(task, 0), self.seconds.get(task, 0.0), said))
        return tuple(found)


class Failed(Exception):
    """A task cannot be brought about."""

    def __init__(self, task: str, error: ProvisionError) -> None:
        super().__init__(str(error))
        self.task = task
        self.code = error.exit_code


def converge(worker: Worker, tell: Tell, stop: Stop) -> PlaceEnded:
    """Bring a place to its declared state; what happens is told, and nothing is raised but defects."""
    began = time.monotonic()
    account = Account(worker.tasks)
    try:
        _rounds(worker, account, tell, stop)
    except Failed as failure:
        # What was interrupted has not failed: it is tried again like what was never begun.
        outcome = Outcome.SKIPPED if failure.code == Interrupted.exit_code else Outcome.FAILED
        results = account.results(worker.place, failure.task, str(failure), outcome)
        ended = PlaceEnded(worker.place, results, failure.code, seconds=time.monotonic() - began)
    else:
        results = account.results(worker.place)
        ended = PlaceEnded(worker.place, results, 0, settled=True, seconds=time.monotonic() - began)
    tell(ended)
    return ended


def _rounds(worker: Worker, account: Account, tell: Tell, stop: Stop) -> None:
    for number in range(ROUNDS):
        plan = _look(worker, tell, stop)
        account.tasks = worker.tasks  # of a host that had to be asked what it is, they are known now
        tell(Planned(plan, first=number == 0))
        if not plan.steps:
            _nothing_left(plan)
            return
        _act(worker, plan.steps, account, tell, stop)
    last = plan.steps[0]
    raise Failed(last.task, HostFailed(f"{last.change.summary}: done {ROUNDS} times, and still found undone."))


def _look(worker: Worker, tell: Tell, stop: Stop) -> Plan:
    first = worker.tasks[0] if worker.tasks else ""
    if stop.asked:
        raise Failed(first, Interrupted())
    tell(Looking(worker.place))
    try:
        return worker.look()
    except ProvisionError as error:
        raise Failed(first, error) from error


def _nothing_left(plan: Plan) -> None:
    """Raise when it is not because everything is as declared that there is nothing to do."""
    obstacle = plan.failure or next(iter(plan.waiting), None)
    if obstacle:
        raise Failed(obstacle.task, HostFailed(reason(obstacle)))


def reason(obstacle: Obstacle) -> str:
    """An obstacle as a sentence, which names the resource once."""
    named = obstacle.resource.rpartition(" ")[2] in obstacle.reason
    return obstacle.reason if named else f"{obstacle.resource}: {obstacle.reason}"


def _act(worker: Worker, steps: Sequence[Step], account: Account, tell: Tell, stop: Stop) -> None:
    follower = _Follower(worker.place, steps, account, tell, stop)
    try:
        worker.act(steps, follower)
    except ProvisionError as error:
        raise Failed(follower.current.task, error) from error


class _Follower:
    """Tells of each step, and stops between steps when asked to."""

    def __init__(self, place: str, steps: Sequence[Step], account: Account, tell: Tell, stop: Stop) -> None:
        self.current = steps[0]
        self._place = place
        self._steps = steps
        self._account = account
        self._tell = tell
        self._stop = stop

    def __call__(self, event: StepEvent) -> None:
        self.current = step = self._steps[event.number]
        summary = step.change.summary
        if event.kind == "begins":
            self._tell(StepBegan(self._place, step.task, summary, event.number + 1, len(self._steps)))
        elif event.kind == "says":
            self._tell(StepSaid(self._place, event.text))
        elif event.kind == "fails":
            self._tell(StepFailed(self._place, step.task, summary, event.seconds, event.text))
        else:
            self._account.ended(step, event.seconds)
            self._tell(StepEnded(self._place, step.task, summary, event.seconds, tuple(step.change.diff())))
            if self._stop.asked:
                raise Interrupted(f"stopped after: {summary}.")


def exit_code(ended: Iterable[PlaceEnded]) -> int:
    """The exit code of a run: of several kinds of trouble, the one that hides the others least."""
    codes = {place.code for place in ended} - {0}
    for code in (Interrupted.exit_code, Unreachable.exit_code, HostFailed.exit_code):
        if code in codes:
            return code
    return min(codes, default=0)


def failed(place: str, tasks: Sequence[str], error: ProvisionError) -> PlaceEnded:
    """The end of a place at which nothing could be done."""
    first, *others = tasks or ("",)
    results = [TaskResult(place, first, Outcome.FAILED, message=str(error))]
    results += [TaskResult(place, task, Outcome.SKIPPED) for task in others]
    return PlaceEnded(place, tuple(results), error.exit_code)

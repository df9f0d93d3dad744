"""What would be done: the resources of each host, judged against the facts. Pure, and the same code for every command.

`apply` carries plans out, `render` shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.errors import HostFailed, InputError, ProvisionError
from provision.facts import AnyProbe, Facts, NotYet
from provision.resources import Resource
from provision.tasks import REPLICATION, TASKS, Node


@dataclass(frozen=True)
class Item:
    """A resource and the task that wants it."""

    task: str
    resource: Resource


@dataclass(frozen=True)
class Step:
    """A change, with the task and the resource that it is for."""

    task: str
    resource: str
    change: Change


@dataclass(frozen=True)
class Obstacle:
    """Why nothing can be said of a resource: it has to wait, or it cannot be brought about."""

    task: str
    resource: str
    reason: str


class Impossible(HostFailed):
    """A host cannot have what a task wants of it, whatever is done. reason: without the names of host and task."""

    def __init__(self, host: str, task: str, error: ProvisionError) -> None:
        super().__init__(f"{host}: {task}: {error.args[0]}", hint=error.hint)
        self.task = task
        self.reason = str(error)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done at one place: a host, or the control machine's part (`replication`).

    waiting: what is known only after other steps. failure: what no step helps; what comes after it was not looked at.
    """

    place: str
    tasks: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    waiting: tuple[Obstacle, ...] = ()
    failure: Obstacle | None = None

    @property
    def settled(self) -> bool:
        """Whether everything is as declared."""
        return not self.steps and not self.waiting and not self.failure

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes, in order."""
        return tuple(step.change for step in self.steps)


def chosen_tasks(tags: Sequence[str], start_at: str = "") -> tuple[str, ...]:
    """The tasks that tags name, in their own order; all without tags. start_at: leave out those before it.

    Raises InputError for one that does not exist.
    """
    known = (*TASKS, REPLICATION)
    for option, names in (("--tags", tags), ("--start-at", [start_at] if start_at else [])):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(f"{option}: there is no task {unknown[0]!r}, expected some of {', '.join(known)}")
    first = known.index(start_at) if start_at else 0
    chosen = tuple(name for name in known[first:] if not tags or name in tags)
    if not chosen:
        raise InputError(f"--start-at {start_at}: none of the tasks in --tags comes at or after it")
    return chosen


def items(node: Node, tasks: Iterable[str]) -> tuple[Item, ...]:
    """What tasks want of a host. Raises InputError, Impossible."""
    found: list[Item] = []
    for name in tasks:
        if name not in TASKS:
            continue
        try:
            found += (Item(name, resource) for resource in TASKS[name](node))
        except InputError:
            raise
        except ProvisionError as error:
            raise Impossible(node.name, name, error) from error
    return tuple(found)


def probes(wanted: Iterable[Item]) -> list[AnyProbe[Any]]:
    """All that must be asked of the host."""
    return [probe for item in wanted for probe in item.resource.probes()]


def plan(place: str, wanted: Iterable[Item], facts: Facts) -> Plan:
    """What leads from the facts to what is wanted."""
    wanted = tuple(wanted)
    steps: list[Step] = []
    waiting: list[Obstacle] = []
    failure = None
    for item in wanted:
        name = item.resource.name
        try:
            steps += (Step(item.task, name, change) for change in item.resource.plan(facts))
        except NotYet as error:
            waiting.append(Obstacle(item.task, name, str(error)))
        except HostFailed as error:
            failure = Obstacle(item.task, name, str(error))
            break
    tasks = tuple(dict.fromkeys(item.task for item in wanted))
    return Plan(place=place, tasks=tasks, steps=tuple(steps), waiting=tuple(waiting), failure=failure)

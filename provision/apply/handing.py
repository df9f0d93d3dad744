"""The control machine's part as a worker: the replicator's settings, catalog, topology and daemon."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from provision.errors import ProvisionError
from provision.plan import Obstacle, Plan, Step
from provision.resources.steps import StepEvent, Watch
from provision.tasks import REPLICATION, Site
from provision.tasks.replication import Handover


class ActingWorker:
    """What the control machine does itself: steps that are calls, not scripts."""

    place = REPLICATION
    tasks: tuple[str, ...] = (REPLICATION,)

    def look(self) -> Plan:
        """See `Worker.look`."""
        raise NotImplementedError

    def act(self, steps: Sequence[Step], watch: Watch) -> None:
        """See `Worker.act`."""
        for number, step in enumerate(steps):
            began = time.monotonic()
            watch(StepEvent(number, "begins"))
            try:
                if step.change.act:
                    step.change.act(partial(_say, watch, number))
            except ProvisionError as error:
                watch(StepEvent(number, "fails", str(error), time.monotonic() - began))
                raise
            watch(StepEvent(number, "ends", seconds=time.monotonic() - began))


class HandoverWorker(ActingWorker):
    """Looks at the replicator and changes what it has."""

    def __init__(self, site: Site) -> None:
        self._handover = Handover(site)

    def close(self) -> None:
        """Let go of what it has opened."""
        self._handover.close()

    def look(self) -> Plan:
        """See `Worker.look`."""
        changes, waiting = self._handover.plan()
        steps = tuple(Step(REPLICATION, change.summary, change) for change in changes)
        obstacles = (Obstacle(REPLICATION, "replicator", waiting),) if waiting else ()
        return Plan(place=REPLICATION, tasks=self.tasks, steps=steps, waiting=obstacles)

    def later(self, why: str) -> Plan:
        """The plan while nothing can be known."""
        return Plan(place=REPLICATION, tasks=self.tasks, waiting=(Obstacle(REPLICATION, "replicator", why),))

    def bare(self) -> Plan:
        """What would be done if nothing were there."""
        steps = tuple(Step(REPLICATION, change.summary, change) for change in self._handover.bare())
        return Plan(place=REPLICATION, tasks=self.tasks, steps=steps)


def _say(watch: Watch, number: int, text: str) -> None:
    watch(StepEvent(number, "says", text))

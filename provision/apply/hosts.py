"""A host as a worker: one transport, one lock, one thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provision.apply.preflight import check_free
from provision.errors import HostFailed
from provision.facts import AnyProbe, Facts, gather
from provision.plan import Item, Obstacle, Plan, Step, plan, probes
from provision.resources.steps import Watch, carry_out
from provision.transport import Transport


class HostWorker:
    """Looks at a host and changes it, by its transport."""

    def __init__(self, place: str, wanted: Sequence[Item], transport: Transport, *, local: bool) -> None:
        self.place = place
        self.tasks = tuple(dict.fromkeys(item.task for item in wanted))
        self._wanted = wanted
        self._probes: list[AnyProbe[Any]] = probes(wanted)
        self._transport = transport
        self._local = local

    def look(self) -> Plan:
        """See `Worker.look`."""
        facts = gather(self._transport, self._probes) if self._probes else Facts()
        found = plan(self.place, self._wanted, facts)
        return self._checked(found) if self._local else found

    def _checked(self, found: Plan) -> Plan:
        """A plan that makes something listen where it could not stops short of everything."""
        for step in found.steps:
            if step.change.claims:
                try:
                    check_free(*step.change.claims)
                except HostFailed as error:
                    return Plan(
                        place=self.place, tasks=found.tasks, failure=Obstacle(step.task, step.resource, str(error))
                    )
        return found

    def act(self, steps: Sequence[Step], watch: Watch) -> None:
        """See `Worker.act`."""
        carry_out(self._transport, [step.change for step in steps], watch)

    def bare(self) -> Plan:
        """What would be done if nothing were there."""
        return plan(self.place, self._wanted, Facts.bare())

    def kill(self) -> None:
        """End the running step, from another thread."""
        self._transport.kill()

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()

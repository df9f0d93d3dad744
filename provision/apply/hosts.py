"""A host as a worker: one transport, one lock, one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from provision.apply.preflight import check_free
from provision.errors import HostFailed
from provision.facts import TRAITS, AnyProbe, Facts, Traits, gather
from provision.plan import Impossible, Item, Obstacle, Plan, Step, plan, probes
from provision.resources.steps import Watch, carry_out
from provision.transport import Transport


@dataclass(frozen=True)
class Wants:
    """What is wanted of a host whose like has to be seen first.

    presumed: what it is taken for until it is asked. of: what is wanted of a host with these traits; raises Impossible
    for one that cannot have it. learn: takes the traits that were seen; raises HostFailed when they are not as
    declared. tasks: those that may want something.
    """

    presumed: Traits
    of: Callable[[Traits], Sequence[Item]]
    learn: Callable[[Traits], None]
    tasks: tuple[str, ...]


class HostWorker:
    """Looks at a host and changes it, by its transport."""

    def __init__(self, place: str, wanted: Sequence[Item] | Wants, transport: Transport, *, local: bool) -> None:
        self.place = place
        self._wants = wanted if isinstance(wanted, Wants) else None
        self._transport = transport
        self._local = local
        self.wanted: Sequence[Item] = ()
        if isinstance(wanted, Wants):
            self._presume(wanted)
        else:
            self._want(wanted)

    @property
    def tasks(self) -> tuple[str, ...]:
        """See `Worker.tasks`."""
        found = tuple(dict.fromkeys(item.task for item in self.wanted))
        return found or (self._wants.tasks if self._wants else ())

    def _want(self, wanted: Sequence[Item], taken_for: Traits | None = None) -> None:
        self.wanted = wanted
        self._taken_for = taken_for
        self._probes: list[AnyProbe[Any]] = probes(wanted)

    def _presume(self, wants: Wants) -> None:
        """What a host like the presumed one cannot have, this one may: then only the host itself can tell."""
        try:
            self._want(wants.of(wants.presumed), wants.presumed)
        except Impossible:
            self._want(())

    def facts(self) -> Facts:
        """What decides. A host that is not what it was taken for is asked once more, for what decides then.

        Raises Unreachable; HostFailed for a host that is not supported or not as declared; Impossible.
        """
        if self._wants is None:
            return gather(self._transport, self._probes) if self._probes else Facts()
        facts = gather(self._transport, [TRAITS, *self._probes])
        traits = facts[TRAITS]
        self._wants.learn(traits)
        if traits == self._taken_for:
            return facts
        asked = set(self._probes)
        self._want(self._wants.of(traits), traits)
        if not asked.issuperset(self._probes):
            facts = gather(self._transport, [TRAITS, *self._probes])
        return facts

    def look(self) -> Plan:
        """See `Worker.look`."""
        try:
            facts = self.facts()
        except Impossible as error:
            return self._impossible(error)
        found = plan(self.place, self.wanted, facts)
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
        try:
            wanted = self._wants.of(self._wants.presumed) if self._wants else self.wanted
        except Impossible as error:
            return self._impossible(error)
        return plan(self.place, wanted, Facts.bare())

    def _impossible(self, error: Impossible) -> Plan:
        return Plan(place=self.place, tasks=self.tasks, failure=Obstacle(error.task, "", error.reason))

    def kill(self) -> None:
        """End the running step, from another thread."""
        self._transport.kill()

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()

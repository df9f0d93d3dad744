"""Takes the replicator back from this machine: its daemon stopped, the pointer to its settings gone."""

from __future__ import annotations

from provision.apply.handing import ActingWorker
from provision.change import Change
from provision.plan import Plan, Step
from provision.tasks import REPLICATION, Site
from provision.tasks.replication import Settings, pid_here, stop_here


class Withdrawal(ActingWorker):
    """See the module."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = Settings(site)

    def look(self) -> Plan:
        """See `Worker.look`."""
        changes = []
        if pid_here(self._site):
            changes.append(Change(summary="stop the replicator's daemon", act=lambda _: self._stop()))
        if self._settings.pointed:
            pointer = self._settings.pointer
            changes.append(Change(summary=f"remove {pointer}", act=lambda _: self._settings.withdraw()))
        steps = tuple(Step(REPLICATION, change.summary, change) for change in changes)
        return Plan(place=REPLICATION, tasks=self.tasks, steps=steps)

    def _stop(self) -> None:
        stop_here(self._site)

"""Carries plans out: every host in a thread of its own, then the replicator, then the proof.

`deploy` and `survey` are generators: they do their work while they are iterated over, and yield what happens. A host
that fails stops what depends on it and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from provision.apply.events import (
    Event,
    Looking,
    Outcome,
    PlaceEnded,
    Planned,
    Proved,
    StepBegan,
    StepSaid,
    TaskResult,
)
from provision.apply.folders import make_folder
from provision.apply.hosts import HostWorker
from provision.apply.jobs import Job, together
from provision.apply.lock import held
from provision.apply.places import Tell, converge, failed
from provision.apply.stop import Stop
from provision.errors import HostFailed, InputError, ProvisionError, Unreachable
from provision.inventory import Host
from provision.plan import Item, items
from provision.tasks import REPLICATION, Site
from provision.tasks.postgresql import shared
from provision.transport import Local, connect

__all__ = ["MACHINE", "PROOF", "Run", "Stop"]

MACHINE = "this machine"
POSTGRESQL = "postgresql"
PROOF = "proof"
SHELL_SECONDS = 120.0


Begin = Callable[[int | None], HostWorker]
"""Makes the worker of a place, given the descriptor of its lock."""


@dataclass(frozen=True)
class Run:
    """What a command is about: hosts of a site, and tasks."""

    site: Site
    hosts: tuple[Host, ...]
    tasks: tuple[str, ...]
    stop: Stop

    @property
    def replicates(self) -> bool:
        """Whether the replicator is part of it."""
        return REPLICATION in self.tasks and self.site.inventory.replication is not None

    def wanted(self) -> dict[str, tuple[Item, ...]]:
        """What each host is to have. Raises InputError and other ProvisionErrors before anything is touched."""
        self._check_places()
        return {host.name: items(self.site.node(host), self.tasks) for host in self.hosts}

    def _check_places(self) -> None:
        """Local hosts share a machine, so their data must not share a folder. Raises InputError."""
        taken: dict[str, str] = {}
        for host in (host for host in self.hosts if host.local):
            data = self.site.node(host).server.data
            if data in taken:
                both = f"{taken[data]} and {host.name}"
                raise InputError(f"{both} have one data directory, {data}: give each its own postgresql.data_dir")
            taken[data] = host.name

    def deploy(self) -> Iterator[Event]:
        """Make everything as declared."""
        make_folder(self.site.inventory.state_dir)
        wanted = self.wanted()
        ended: list[PlaceEnded] = []
        for stage in self._stages(wanted):
            for event in together(stage, self.stop):
                if isinstance(event, PlaceEnded):
                    ended.append(event)
                yield event
            if any(place.code and place.place == MACHINE for place in ended):
                return
        if self.replicates:
            yield from self._replication(ended)

    def _stages(self, wanted: Mapping[str, Sequence[Item]]) -> Iterator[list[Job]]:
        if self.machine:
            yield [self._job(MACHINE, self._machine)]
        yield [self._job(host.name, partial(self._worker, host, wanted[host.name])) for host in self.hosts]

    @property
    def machine(self) -> tuple[Item, ...]:
        """What the local hosts have in common."""
        if POSTGRESQL not in self.tasks:
            return ()
        return tuple(Item(POSTGRESQL, resource) for resource in shared([self.site.node(host) for host in self.hosts]))

    def _machine(self, lock: int | None) -> HostWorker:
        return HostWorker(MACHINE, self.machine, Local(lock), local=True)

    def _job(self, place: str, begin: Begin) -> Job:
        workers: list[HostWorker] = []

        def work(tell: Tell) -> None:
            try:
                with held(self.site.inventory.state_dir / "locks" / place.replace(" ", "-"), self._stopped) as lock:
                    worker = begin(lock)
                    workers.append(worker)
                    try:
                        converge(worker, tell, self.stop)
                    finally:
                        worker.close()
            except ProvisionError as error:
                tell(failed(place, self.host_tasks, error))

        def kill() -> None:
            for worker in workers:
                worker.kill()

        return Job(place, work, kill)

    @property
    def host_tasks(self) -> tuple[str, ...]:
        """The tasks that hosts have."""
        return tuple(task for task in self.tasks if task != REPLICATION)

    def _worker(self, host: Host, wanted: Sequence[Item], lock: int | None) -> HostWorker:
        return HostWorker(host.name, wanted, connect(host, self.site.keeper, lock), local=host.local)

    def _replication(self, ended: Sequence[PlaceEnded]) -> Iterator[Event]:
        from provision.apply.handing import HandoverWorker  # noqa: PLC0415 - the replicator's drivers load slowly

        broken = [place.place for place in ended if place.code]
        if broken:
            why = "interrupted" if self.stop.asked else f"it needs {', '.join(broken)}"
            result = TaskResult(REPLICATION, REPLICATION, Outcome.SKIPPED, message=why)
            yield PlaceEnded(REPLICATION, (result,), 0)
            return

        def work(tell: Tell) -> None:
            lock = self.site.inventory.state_dir / "locks" / f".{REPLICATION}"
            try:
                with held(lock, self._stopped):
                    converge(HandoverWorker(self.site), tell, self.stop)
            except ProvisionError as error:
                tell(failed(REPLICATION, (REPLICATION,), error))

        yield from together([Job(REPLICATION, work)], self.stop)

    def prove(self, *, traffic: bool) -> Iterator[Event]:
        """Put the syncs to the proof; see `tasks.replication.prove`."""
        from provision.tasks.replication import prove  # noqa: PLC0415 - the replicator's drivers load slowly

        def work(tell: Tell) -> None:
            began = time.monotonic()
            tell(StepBegan(PROOF, PROOF, "compare every table on every node", 1, 1))
            try:
                proof = prove(self.site, self._shell, lambda text: tell(StepSaid(PROOF, text)), self._stopped, traffic)
            except ProvisionError as error:
                tell(failed(PROOF, (PROOF,), error))
                return
            tell(Proved(proof))
            seconds = time.monotonic() - began
            wrong = len(proof.different)
            said = f"{wrong} of {len(proof.tables)} tables differ; `replicator verify` lists the rows" if wrong else ""
            result = TaskResult(PROOF, PROOF, Outcome.FAILED if wrong else Outcome.OK, seconds=seconds, message=said)
            tell(PlaceEnded(PROOF, (result,), int(wrong > 0), settled=not wrong, seconds=seconds))

        yield from together([Job(PROOF, work)], self.stop)

    def _stopped(self) -> bool:
        return self.stop.asked

    def _shell(self, host: Host, script: str) -> None:
        transport = connect(host, self.site.keeper)
        try:
            result = transport.run(script, timeout=SHELL_SECONDS)
        finally:
            transport.close()
        if result.rc:
            raise HostFailed(f"{host.name}: {(result.err or result.out).strip()}")

    def survey(self, *, assume_bare: bool) -> Iterator[Event]:
        """Say what `deploy` would do, and touch nothing.

        assume_bare: a host that does not answer is taken for one on which nothing has been done.
        """
        wanted = self.wanted()
        plans: list[Planned] = []
        begins: dict[str, Begin] = {host.name: partial(self._worker, host, wanted[host.name]) for host in self.hosts}
        if self.machine:
            begins = {MACHINE: self._machine, **begins}
        jobs = [Job(place, self._look(place, begin, assume_bare)) for place, begin in begins.items()]
        reached = True
        for event in together(jobs, self.stop):
            if isinstance(event, Planned):
                plans.append(event)
            if isinstance(event, PlaceEnded) and event.code:
                reached = False
            yield event
        if self.replicates and reached:
            yield from self._survey_replication(plans)

    def _look(self, place: str, begin: Begin, assume_bare: bool) -> Callable[[Tell], None]:
        def work(tell: Tell) -> None:
            try:
                worker = begin(None)
            except ProvisionError as error:
                tell(failed(place, self.host_tasks, error))
                return
            tell(Looking(place))
            try:
                tell(Planned(worker.look()))
            except Unreachable as error:
                if assume_bare:
                    tell(Planned(worker.bare(), bare=str(error)))
                else:
                    tell(failed(place, worker.tasks, error))
            except ProvisionError as error:
                tell(failed(place, worker.tasks, error))
            finally:
                worker.close()

        return work

    def _survey_replication(self, plans: Sequence[Planned]) -> Iterator[Event]:
        from provision.apply.handing import HandoverWorker  # noqa: PLC0415 - the replicator's drivers load slowly

        worker = HandoverWorker(self.site)
        unfinished = [planned.plan.place for planned in plans if not planned.plan.settled]
        try:
            if unfinished and not self.site.inventory.state_dir.joinpath("replicator").exists():
                yield Planned(worker.bare())
            else:
                yield Planned(worker.look())
        except ProvisionError as error:
            if unfinished:
                yield Planned(worker.later(f"known once {', '.join(unfinished)} is as declared"))
            else:
                yield failed(REPLICATION, worker.tasks, error)

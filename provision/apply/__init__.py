"""Carries plans out: every host in a thread of its own, then the replicator, then the proof.

`deploy` and `survey` are generators: they do their work while they are iterated over, and yield what happens. A host
that fails stops what depends on it and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from provision.apply.events import Event, Looking, Outcome, PlaceEnded, Planned, TaskResult
from provision.apply.folders import make_folder
from provision.apply.hosts import HostWorker
from provision.apply.jobs import Job, together
from provision.apply.lock import held
from provision.apply.places import Tell, converge
from provision.apply.stop import Stop
from provision.errors import ProvisionError, Unreachable
from provision.inventory import Host
from provision.plan import Item, items
from provision.tasks import REPLICATION, Site
from provision.transport import connect

__all__ = ["Run", "Stop"]


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
        return {host.name: items(self.site.node(host), self.tasks) for host in self.hosts}

    def deploy(self) -> Iterator[Event]:
        """Make everything as declared."""
        make_folder(self.site.inventory.state_dir)
        wanted = self.wanted()
        ended: list[PlaceEnded] = []
        jobs = [self._job(host, wanted[host.name]) for host in self.hosts]
        for event in together(jobs, self.stop):
            if isinstance(event, PlaceEnded):
                ended.append(event)
            yield event
        if self.replicates:
            yield from self._replication(ended)

    def _job(self, host: Host, wanted: Sequence[Item]) -> Job:
        workers: list[HostWorker] = []

        def work(tell: Tell) -> None:
            try:
                with held(self.site.inventory.state_dir / "locks" / host.name, lambda: self.stop.asked) as lock:
                    worker = self._worker(host, wanted, lock)
                    workers.append(worker)
                    try:
                        converge(worker, tell, self.stop)
                    finally:
                        worker.close()
            except ProvisionError as error:
                tell(failed(host.name, self.host_tasks, error))

        def kill() -> None:
            for worker in workers:
                worker.kill()

        return Job(host.name, work, kill)

    @property
    def host_tasks(self) -> tuple[str, ...]:
        """The tasks that hosts have."""
        return tuple(task for task in self.tasks if task != REPLICATION)

    def _worker(self, host: Host, wanted: Sequence[Item], lock: int | None) -> HostWorker:
        tasks = tuple(dict.fromkeys(item.task for item in wanted))
        return HostWorker(host, tasks, wanted, connect(host, self.site.keeper, lock))

    def _replication(self, ended: Sequence[PlaceEnded]) -> Iterator[Event]:
        from provision.apply.handing import HandoverWorker  # noqa: PLC0415 - the replicator's drivers load slowly

        broken = [place.place for place in ended if place.code]
        if broken:
            names = ", ".join(broken)
            result = TaskResult(REPLICATION, REPLICATION, Outcome.SKIPPED, message=f"it needs {names}")
            yield PlaceEnded(REPLICATION, (result,), 0)
            return

        def work(tell: Tell) -> None:
            lock = self.site.inventory.state_dir / "locks" / f".{REPLICATION}"
            try:
                with held(lock, lambda: self.stop.asked):
                    converge(HandoverWorker(self.site), tell, self.stop)
            except ProvisionError as error:
                tell(failed(REPLICATION, (REPLICATION,), error))

        yield from together([Job(REPLICATION, work)], self.stop)

    def survey(self, *, assume_bare: bool) -> Iterator[Event]:
        """Say what `deploy` would do, and touch nothing.

        assume_bare: a host that does not answer is taken for one on which nothing has been done.
        """
        wanted = self.wanted()
        plans: list[Planned] = []
        jobs = [Job(host.name, self._look(host, wanted[host.name], assume_bare)) for host in self.hosts]
        reached = True
        for event in together(jobs, self.stop):
            if isinstance(event, Planned):
                plans.append(event)
            if isinstance(event, PlaceEnded) and event.code:
                reached = False
            yield event
        if self.replicates and reached:
            yield from self._survey_replication(plans)

    def _look(self, host: Host, wanted: Sequence[Item], assume_bare: bool) -> Callable[[Tell], None]:
        def work(tell: Tell) -> None:
            try:
                worker = self._worker(host, wanted, None)
            except ProvisionError as error:
                tell(failed(host.name, self.host_tasks, error))
                return
            tell(Looking(host.name))
            try:
                tell(Planned(worker.look()))
            except Unreachable as error:
                if assume_bare:
                    tell(Planned(worker.bare(), bare=str(error)))
                else:
                    tell(failed(host.name, worker.tasks, error))
            except ProvisionError as error:
                tell(failed(host.name, worker.tasks, error))
            finally:
                worker.close()

        return work

    def _survey_replication(self, plans: Sequence[Planned]) -> Iterator[Event]:
        from provision.apply.handing import HandoverWorker  # noqa: PLC0415 - the replicator's drivers load slowly

        worker = HandoverWorker(self.site)
        try:
            unfinished = [planned.plan.place for planned in plans if not planned.plan.settled]
            if not unfinished:
                yield Planned(worker.look())
            elif self.site.inventory.state_dir.joinpath("replicator").exists():
                yield Planned(worker.later(f"known once {', '.join(unfinished)} is as declared"))
            else:
                yield Planned(worker.bare())
        except ProvisionError as error:
            yield failed(REPLICATION, worker.tasks, error)


def failed(place: str, tasks: Sequence[str], error: ProvisionError) -> PlaceEnded:
    """The end of a place at which nothing could be done."""
    first, *others = tasks or ("",)
    results = [TaskResult(place, first, Outcome.FAILED, message=str(error))]
    results += [TaskResult(place, task, Outcome.SKIPPED) for task in others]
    return PlaceEnded(place, tuple(results), error.exit_code)

"""Makes everything as declared: what hosts share, the hosts, the replicator."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing

from provision.apply.batches import GATE, batches, gate, skipped
from provision.apply.events import Event, Outcome, PlaceEnded, TaskResult
from provision.apply.folders import make_folder
from provision.apply.hosts import HostWorker
from provision.apply.jobs import Job, together
from provision.apply.lock import held
from provision.apply.places import Tell, converge, failed
from provision.apply.run import MACHINE, Begin, Run
from provision.errors import ProvisionError
from provision.tasks import REPLICATION


def deploy(run: Run) -> Iterator[Event]:
    """Deploy. Raises InputError, and other ProvisionErrors that keep it from beginning."""
    begins = run.host_begins()
    make_folder(run.inventory.state_dir)
    ended: list[PlaceEnded] = []
    for event in _stages(run, begins):
        if isinstance(event, PlaceEnded):
            ended.append(event)
        yield event
    if run.replicates and not any(place.code and place.place == MACHINE for place in ended):
        yield from _replication(run, ended)


def _stages(run: Run, begins: Mapping[str, Begin]) -> Iterator[Event]:
    """What hosts share, then the hosts: all together, or batch by batch until one fails."""
    machine = yield from _watched(together([_job(run, *item) for item in run.machine_begin().items()], run.stop))
    if any(place.code for place in machine):
        return
    *earlier, last = batches(run.hosts, run.serial, run.inventory.replication) or [()]
    for number, batch in enumerate([*earlier, last]):
        jobs = [_job(run, host.name, begins[host.name]) for host in batch]
        ended = yield from _watched(together(jobs, run.stop, run.forks))
        if batch is not last and any(result.changes for place in ended for result in place.results):
            ended += yield from _watched(gate(run, batch))
        broken = [place.place for place in ended if place.code]
        if broken and not run.stop.asked:
            rest = [host for later in [*earlier, last][number + 1 :] for host in later]
            yield from skipped(run, rest, f"after {', '.join(broken)} nothing more was begun")
            return


def _watched(events: Iterator[Event]) -> Generator[Event, None, list[PlaceEnded]]:
    """Pass events on; returns the ends of places among them."""
    ended = []
    for event in events:
        if isinstance(event, PlaceEnded):
            ended.append(event)
        yield event
    return ended


def _job(run: Run, place: str, begin: Begin) -> Job:
    """A place in a thread of its own, under its lock."""
    workers: list[HostWorker] = []

    def work(tell: Tell) -> None:
        try:
            with held(run.lock(place), run.stopped) as lock:
                worker = begin(lock)
                workers.append(worker)
                try:
                    converge(worker, tell, run.stop)
                finally:
                    worker.close()
        except ProvisionError as error:
            tell(failed(place, run.host_tasks, error))

    def kill() -> None:
        for worker in workers:
            worker.kill()

    return Job(place, work, kill)


def _replication(run: Run, ended: Sequence[PlaceEnded]) -> Iterator[Event]:
    from provision.apply.handing import HandoverWorker  # noqa: PLC0415 - the replicator's drivers load slowly

    broken = [place.place for place in ended if not _done(place) and _matters(run, place.place)]
    if broken:
        why = "interrupted" if run.stop.asked else f"it needs {', '.join(broken)}"
        result = TaskResult(REPLICATION, REPLICATION, Outcome.SKIPPED, message=why)
        yield PlaceEnded(REPLICATION, (result,), 0)
        return

    def work(tell: Tell) -> None:
        try:
            with held(run.lock(f".{REPLICATION}"), run.stopped), closing(HandoverWorker(run.site)) as worker:
                converge(worker, tell, run.stop)
        except ProvisionError as error:
            tell(failed(REPLICATION, (REPLICATION,), error))

    yield from together([Job(REPLICATION, work)], run.stop)


def _done(place: PlaceEnded) -> bool:
    """Whether a place is as declared."""
    return not place.code and all(result.outcome is not Outcome.SKIPPED for result in place.results)


def _matters(run: Run, place: str) -> bool:
    """Whether the replicator needs a place: a host with one of its databases, or the whole machine."""
    declared = run.inventory.replication
    if declared is None or place not in {host.name for host in run.hosts}:
        return place != GATE
    return place in {declared.catalog.host, *(database.host for database in declared.databases.values())}

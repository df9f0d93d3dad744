"""Makes everything as declared: what hosts share, the hosts, the replicator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

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
    for stage in (run.machine_begin(), begins):
        for event in together([_job(run, place, begin) for place, begin in stage.items()], run.stop):
            if isinstance(event, PlaceEnded):
                ended.append(event)
            yield event
        if any(place.code and place.place == MACHINE for place in ended):
            return
    if run.replicates:
        yield from _replication(run, ended)


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

    broken = [place.place for place in ended if place.code]
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

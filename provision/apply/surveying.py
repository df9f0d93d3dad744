"""Says what a deploy would do, and touches nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from provision.apply.events import Event, Looking, PlaceEnded, Planned
from provision.apply.hosts import HostWorker
from provision.apply.jobs import Job, together
from provision.apply.places import Tell, failed
from provision.apply.run import Begin, Run
from provision.errors import ProvisionError, Unreachable
from provision.tasks import REPLICATION


def survey(run: Run, *, assume_bare: bool) -> Iterator[Event]:
    """Plan every place. assume_bare: a host that does not answer is taken for one on which nothing has been done."""
    plans: list[Planned] = []
    begins = {**run.machine_begin(), **run.host_begins()}
    jobs = [Job(place, _look(run, place, begin, assume_bare)) for place, begin in begins.items()]
    reached = True
    for event in together(jobs, run.stop, run.forks):
        if isinstance(event, Planned):
            plans.append(event)
        if isinstance(event, PlaceEnded) and event.code:
            reached = False
        yield event
    if run.replicates and reached:
        yield from _replication(run, plans)


def _look(run: Run, place: str, begin: Begin, assume_bare: bool) -> Callable[[Tell], None]:
    def work(tell: Tell) -> None:
        try:
            worker = begin(None)
        except ProvisionError as error:
            tell(failed(place, run.host_tasks, error))
            return
        tell(Looking(place))
        try:
            tell(_planned(worker, assume_bare))
        except ProvisionError as error:
            tell(failed(place, worker.tasks, error))
        finally:
            worker.close()

    return work


def _planned(worker: HostWorker, assume_bare: bool) -> Planned:
    try:
        return Planned(worker.look())
    except Unreachable as error:
        if not assume_bare:
            raise
        return Planned(worker.bare(), bare=str(error))


def _replication(run: Run, plans: Sequence[Planned]) -> Iterator[Event]:
    from provision.apply.handing import HandoverWorker  # noqa: PLC0415 - the replicator's drivers load slowly

    worker = HandoverWorker(run.site)
    unfinished = [planned.plan.place for planned in plans if not planned.plan.settled]
    try:
        if unfinished and not run.inventory.state_dir.joinpath("replicator").exists():
            yield Planned(worker.bare())
        else:
            yield Planned(worker.look())
    except ProvisionError as error:
        if unfinished:
            yield Planned(worker.later(f"known once {', '.join(unfinished)} is as declared"))
        else:
            yield failed(REPLICATION, worker.tasks, error)

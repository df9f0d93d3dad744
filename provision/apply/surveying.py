"""Says what a deploy would do, and touches nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from provision.apply.events import Event, Looking, PlaceEnded, Planned
from provision.apply.hosts import HostWorker
from provision.apply.jobs import Job, together
from provision.apply.places import Tell, failed
from provision.apply.run import Begin, Run
from provision.errors import ProvisionError, Unreachable
from provision.inventory import runner
from provision.tasks import REPLICATION

if TYPE_CHECKING:
    from provision.apply.handing import HandoverWorker


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

    with closing(HandoverWorker(run.site)) as worker:
        yield _handover(run, worker, plans)


def _handover(run: Run, worker: HandoverWorker, plans: Sequence[Planned]) -> Event:
    unfinished = [planned.plan.place for planned in plans if not planned.plan.settled]
    try:
        if unfinished and _new(run):
            return Planned(worker.bare())
        return Planned(worker.look())
    except ProvisionError as error:
        if unfinished:
            return Planned(worker.later(f"known once {', '.join(unfinished)} is as declared"))
        return failed(REPLICATION, worker.tasks, error)


def _new(run: Run) -> bool:
    """Whether nothing has been deployed from here yet."""
    made = "secrets.yml" if runner(run.inventory) else "replicator"
    return not run.inventory.state_dir.joinpath(made).exists()

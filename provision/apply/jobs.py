"""Threads, one for each job, and one queue by which what they tell comes out in order. There are no other threads.

Whoever iterates over `together` is in charge: it draws what is told, and sees to it that a wish to stop is heeded.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from provision.apply.events import Event, Tick
from provision.apply.places import Tell
from provision.apply.stop import Stop

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Job:
    """Something to do in a thread. kill: ends what it waits for, from outside."""

    name: str
    work: Callable[[Tell], None]
    kill: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class _Done:
    error: BaseException | None


def together(jobs: Sequence[Job], stop: Stop, forks: int = 0) -> Iterator[Event]:
    """Do all jobs at once, or so many at once; yields what they tell, until all have ended.

    A defect in one is raised at the end.
    """
    told: queue.SimpleQueue[Event | _Done] = queue.SimpleQueue()
    waiting = list(reversed(jobs))
    for _ in range(forks or len(jobs)):
        _begin(waiting, told)
    running = len(jobs)
    defect: BaseException | None = None
    while running:
        try:
            item = told.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if stop.at_once:
                for job in jobs:
                    job.kill()
            yield Tick()
            continue
        if isinstance(item, _Done):
            running -= 1
            _begin(waiting, told)
            defect = defect or item.error
        else:
            yield item
    if defect:
        raise defect


def _begin(waiting: list[Job], told: queue.SimpleQueue[Event | _Done]) -> None:
    """Begin the next job, if there is one."""
    if waiting:
        job = waiting.pop()
        threading.Thread(target=_run, args=(job, told), name=job.name, daemon=True).start()


def _run(job: Job, told: queue.SimpleQueue[Event | _Done]) -> None:
    error: BaseException | None = None
    try:
        job.work(told.put)
    except BaseException as caught:  # whatever it is, the thread in charge has to know that this one has ended
        error = caught
    told.put(_Done(error))

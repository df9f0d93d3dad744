"""What is found on hosts, all of them asked at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from provision.apply.run import Begin, Run
from provision.errors import ProvisionError
from provision.facts import Facts
from provision.plan import Item


@dataclass(frozen=True)
class Known:
    """A host's facts, and what they were asked for; or the error that kept them away."""

    host: str
    wanted: tuple[Item, ...] = ()
    facts: Facts = field(default_factory=Facts)
    error: ProvisionError | None = None


def known(run: Run) -> Iterator[Known]:
    """The facts of the hosts, in their order. Raises InputError."""
    begins = run.host_begins()
    with ThreadPoolExecutor(max(1, min(run.forks or len(begins), len(begins)))) as pool:
        yield from pool.map(lambda item: _known(item[0], item[1]), begins.items())


def _known(host: str, begin: Begin) -> Known:
    worker = None
    try:
        worker = begin(None)
        facts = worker.facts()
        return Known(host, tuple(worker.wanted), facts)
    except ProvisionError as error:
        return Known(host, error=error)
    finally:
        if worker:
            worker.close()

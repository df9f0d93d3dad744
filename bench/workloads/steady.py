"""Steady state: the highest rate of pgbench at which the target is caught up within five seconds of its end.

Each contender is tried at shares of what the source can do without anybody reading: rates are halved between the
highest that was kept up with and the lowest that was not. A contender that keeps up with full speed gets that rate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import traffic
from bench.contenders import Contender
from bench.figures import Better, Sample, Target
from bench.grounds import TABLES
from bench.workloads import Race, Workload
from tests.fixtures.nodes import Node

SECONDS, GRACE, STEPS = 8, 5.0, 3


def _run(race: Race) -> Iterator[Sample]:
    for number, contender in race.turns():
        yield Sample(
            "steady", "rate kept up with", contender.name, _rate(race, contender), "tps", Better.MORE, round=number
        )


def _rate(race: Race, contender: Contender) -> float:
    with race.grounds.databases(extra=contender.settings) as nodes:
        replication = contender.start(race.grounds, nodes, TABLES)
        try:
            marks = iter(range(1, 100))
            full, kept = _try(nodes, next(marks), 0.0)
            low, high = (full, full) if kept else (0.0, full)
            for _ in range(0 if kept else STEPS):
                rate = (low + high) / 2
                reached, kept = _try(nodes, next(marks), rate)
                low, high = (reached, high) if kept else (low, rate)
        finally:
            replication.close()
    return low


def _try(nodes: list[Node], mark: int, rate: float) -> tuple[float, bool]:
    """The rate that was reached, and whether the target had caught up in time. Waits until it has, in any case."""
    load = traffic.pgbench(nodes[0], seconds=SECONDS, rate=rate)
    traffic.mark(nodes[0], mark)
    began = time.monotonic()
    traffic.await_mark(nodes[1:], mark)
    return load.rate, time.monotonic() - began <= GRACE


WORKLOAD = Workload(
    "steady",
    "the highest rate of pgbench after which the target is caught up within five seconds",
    _run,
    (
        Target("steady", "rate kept up with", "native", 1.0),
        Target("steady", "rate kept up with", "native", 1.0, of="pgherd-wal"),
    ),
)

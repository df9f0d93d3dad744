"""Catching up: replication is paused, pgbench writes, and the clock runs from the resumption until all is there."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import traffic
from bench.figures import Sample, Target
from bench.grounds import TABLES
from bench.workloads import Race, Workload


def _run(race: Race) -> Iterator[Sample]:
    for number, contender in race.turns():
        with race.grounds.databases(extra=contender.settings) as nodes:
            replication = contender.start(race.grounds, nodes, TABLES)
            try:
                replication.pause()
                traffic.pgbench(nodes[0], transactions=race.transactions)
                traffic.mark(nodes[0])
                began = time.monotonic()
                replication.resume()
                traffic.await_mark(nodes[1:])
                seconds = time.monotonic() - began
                traffic.check_equal(nodes, TABLES)
            finally:
                replication.close()
        yield Sample("catchup", "seconds", contender.name, seconds, "s", round=number)


WORKLOAD = Workload(
    "catchup",
    "the time until the target is equal, after so many transactions of pgbench with replication paused",
    _run,
    (
        Target("catchup", "seconds", "native", 4.0),
        Target("catchup", "seconds", "bucardo", 6.0),
    ),
)

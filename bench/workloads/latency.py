"""From a commit on the source to the row being visible on the target, when nothing else happens and under half load.

One connection writes, another looks at the target every half millisecond. Pauses between writes vary, so that they
fall everywhere in whatever rhythm a contender has. Half load is half of what pgbench reaches with capture on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from bench import figures, traffic
from bench.figures import Sample, Target
from bench.grounds import TABLES
from bench.workloads import Race, Workload
from tests.fixtures.nodes import Node
from tests.fixtures.wait import until

PROBES = 60
PAUSES = (0.05, 0.6)
"""Seconds between writes, from and to: shorter and longer than the time after which pgherd counts as idle."""


def _run(race: Race) -> Iterator[Sample]:
    for number, contender in race.turns():
        with race.grounds.databases(extra=contender.settings) as nodes:
            replication = contender.start(race.grounds, nodes, TABLES)
            try:
                traffic.mark(nodes[0], 0)
                traffic.await_mark(nodes[1:], 0, 60)
                idle = _latencies(nodes)
                limit = traffic.pgbench(nodes[0], seconds=5).rate
                traffic.mark(nodes[0], -1)
                traffic.await_mark(nodes[1:], -1, 300)
                load = traffic.Running(nodes[0], seconds=3600, rate=limit / 2)
                busy = _latencies(nodes, first=PROBES + 1)
                load.stop()
            finally:
                replication.close()
        for when, found in (("idle", idle), ("half load", busy)):
            for name, value in (
                ("p50", figures.percentile(found, 0.5)),
                ("p99", figures.percentile(found, 0.99)),
                ("max", max(found)),
            ):
                yield Sample("latency", f"{when} {name}", contender.name, value * 1000, "ms", round=number)


def _latencies(nodes: list[Node], first: int = 1) -> list[float]:
    dice, found = random.Random(first), []
    with nodes[0].connect() as writer, nodes[1].connect() as reader:
        for number in range(first, first + PROBES):
            time.sleep(dice.uniform(*PAUSES))
            writer.execute("insert into bench_marker (id) values (%s)", [number])
            began = time.monotonic()

            def there() -> bool:
                rows = reader.execute("select from bench_marker where id = %s", [number])  # noqa: B023
                return rows.fetchone() is not None

            until(there, 120, "the row is there", every=0.0005)
            found.append(time.monotonic() - began)
    return found


WORKLOAD = Workload(
    "latency",
    "from a commit on the source until the row is visible on the target",
    _run,
    (
        Target("latency", "idle p50", "", 5.0),
        Target("latency", "idle p99", "", 25.0),
        Target("latency", "idle p50", "bucardo", 50.0),
    ),
)

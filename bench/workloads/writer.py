"""What capture costs the applications: pgbench's rate on the source with it over the rate without it.

synchronous_commit is off, so that the disk hides nothing. Replication is paused: what is measured is the triggers (or
the decoding's extra WAL), not the reading, which `steady` has. Short runs with and without take turns.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench import traffic
from bench.figures import Better, Sample, Target
from bench.grounds import TABLES
from bench.workloads import Race, Workload
from tests.fixtures.nodes import Node

SECONDS, TURNS = 4, 4


def _run(race: Race) -> Iterator[Sample]:
    for number, contender in race.turns():
        with (
            race.grounds.databases(extra=contender.settings) as nodes,
            race.grounds.databases(extra=contender.settings) as plain,
        ):
            replication = contender.start(race.grounds, nodes, TABLES)
            try:
                replication.pause()
                share = _share(nodes[0], plain[0])
            finally:
                replication.close()
        yield Sample("writer", "rate with capture / without", contender.name, share, "", Better.MORE, number)


def _share(captured: Node, plain: Node) -> float:
    """The median of ratios of runs next to each other."""
    shares = []
    for turn in range(TURNS):
        order = (captured, plain) if turn % 2 else (plain, captured)
        rates = {node.database.dbname: traffic.pgbench(node, seconds=SECONDS).rate for node in order}
        shares.append(rates[captured.database.dbname] / rates[plain.database.dbname])
    return statistics.median(shares)


WORKLOAD = Workload(
    "writer",
    "pgbench's rate on the source with capture on, as a share of the rate without, by 4 clients",
    _run,
    (
        Target("writer", "rate with capture / without", "", 0.9),
        Target("writer", "rate with capture / without", "bucardo", 1.0),
        Target("writer", "rate with capture / without", "", 0.9, of="pgherd-wal"),
    ),
)

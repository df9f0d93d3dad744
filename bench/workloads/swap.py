"""Two masters at once: pgbench's own TPC-B on both, balances as counters; what both keep up with, and that sums agree.

No peer does this: concurrent increments of one row are lost or refused by all others of those measured here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench import traffic
from bench.contenders.pgherd import Herding
from bench.figures import OURS, Better, Sample
from bench.grounds import TABLES
from bench.workloads import Race, Workload
from replicator.model import SyncType
from tests.fixtures.nodes import Node
from tests.fixtures.wait import until

SECONDS = 8
KEYED = TABLES[:3]
SUMS = (
    "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),"
    " (select sum(bbalance) from pgbench_branches)"
)


def _run(race: Race) -> Iterator[Sample]:
    for number in range(race.rounds):
        race.say(f"round {number + 1} of {race.rounds}")
        with race.grounds.databases() as nodes:
            counters = ("abalance", "bbalance", "tbalance")
            herding = Herding(race.grounds, nodes, [KEYED], type=SyncType.SWAP, counters=counters)
            try:
                loads = [traffic.Running(node, clients=2, seconds=SECONDS) for node in nodes]
                rate = sum(load.finish().rate for load in loads)
                began = time.monotonic()
                until(lambda nodes=nodes: _agree(nodes), 600, "both masters agree", every=0.05)  # type: ignore[misc]
                behind = time.monotonic() - began
                traffic.check_equal(nodes, KEYED)
            finally:
                herding.close()
        yield Sample("swap", "TPC-B on two masters", OURS, rate, "tps", Better.MORE, round=number)
        yield Sample("swap", "until both agree afterwards", OURS, behind, "s", round=number)


def _agree(nodes: list[Node]) -> bool:
    """Whether every sum is the same on both, and the three of one node are equal, as TPC-B has it."""
    found = {node.execute(SUMS)[0] for node in nodes}
    return len(found) == 1 and len(set(found.pop())) == 1


WORKLOAD = Workload("swap", "pgbench's TPC-B on two masters with counters, until both hold the same", _run)

"""What deciding between masters costs where nothing conflicts: the same changes by a swap and by a pushdelta.

Only the batch is timed, run in this process without a daemon. Each has databases of its own on the same servers.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

from bench.figures import Better, Sample, Target
from bench.workloads import Race, Workload
from replicator.config import Config
from replicator.model import OneTimeCopy, SyncType
from replicator.postgres import Connector
from tests.fixtures import lab
from tests.fixtures.nodes import Node

CHANGES = {
    "updates": "update t set number = number + 1 where id <= {n}",
    "inserts": "insert into t select i, i, repeat('x', 80) from generate_series({n} * 2 + 1, {n} * 3) i",
    "deletes": "delete from t where id > {n}",
}


def _run(race: Race) -> Iterator[Sample]:
    types = [SyncType.SWAP, SyncType.PUSHDELTA]
    for number in range(race.rounds):
        race.say(f"round {number + 1} of {race.rounds}")
        for metric, change in CHANGES.items():
            for type_ in types if number % 2 else reversed(types):
                seconds = _seconds(race, type_, change.format(n=race.transactions))
                rate = race.transactions / seconds
                yield Sample("versions", metric, str(type_), rate, "rows/s", Better.MORE, number)


def _seconds(race: Race, type_: SyncType, change: str) -> float:
    schema = (
        "create table t (id int primary key, number int not null, filler text not null);"
        f" insert into t select i, i, repeat('x', 80) from generate_series(1, {race.transactions * 2}) i"
    )
    with race.grounds.databases(schema) as nodes:
        made = lab.build(Connector(Config(catalog={})), nodes, type_, onetimecopy=OneTimeCopy.OFF)
        try:
            made.settle()
            nodes[0].execute(change)
            _settle_down(nodes)
            began = time.monotonic()
            counts = made.sync()[0].run().counts
            seconds = time.monotonic() - began
            assert counts.inserted + counts.updated + counts.deleted == race.transactions, counts
        finally:
            made.close()
    return seconds


def _settle_down(nodes: list[Node]) -> None:
    """What the change left to be written is not the batch's business."""
    for server in {node.server for node in nodes}:
        server.execute("checkpoint")
    gc.collect()


WORKLOAD = Workload(
    "versions",
    "rows a second that a batch of a swap without conflicts writes, and a pushdelta of the same changes",
    _run,
    tuple(Target("versions", metric, "pushdelta", 0.7, of="swap") for metric in CHANGES),
    ours="swap",
)

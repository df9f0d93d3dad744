"""What idle syncs cost, and wide ones: processor time of ten idle syncs, a tick over a thousand tables, memory.

Counts our own processes and the backends that serve them, not the catalog's commands. pgherd alone: its peers do not
have the numbers to compare.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.contenders.pgherd import Herding
from bench.figures import OURS, Sample, Target
from bench.grounds import TABLES
from bench.processor import of_processes
from bench.workloads import Race, Workload
from replicator.config import Config
from replicator.model import OneTimeCopy, SyncType
from replicator.postgres import Connector
from replicator.syncrun import AT_REST, LATELY
from tests.fixtures import lab, processes

SYNCS, SECONDS, WIDE, TICKS = 10, 15, 1000, 50

MANY = "".join(
    f"create table t{number} (id int primary key, v text); insert into t{number} values (1, 'x');"
    for number in range(WIDE)
)
TEN = "".join(f"create table t{number} (id int primary key, v text);" for number in range(SYNCS))


def _run(race: Race) -> Iterator[Sample]:
    for number in range(race.rounds):
        race.say(f"round {number + 1} of {race.rounds}")
        yield from _idle(race, number)
        yield from _wide(race, number)
        yield from _backlog(race, number)


def _idle(race: Race, number: int) -> Iterator[Sample]:
    with race.grounds.databases(TEN) as nodes:
        herding = Herding(race.grounds, nodes, [[f"t{sync}"] for sync in range(SYNCS)])
        try:
            time.sleep(LATELY + AT_REST)  # until the links are at rest
            pids = [*herding.controllers(), herding.master()]
            before, backends = of_processes(pids), _backends(race)
            time.sleep(SECONDS)
            share = (of_processes(pids) - before) / SECONDS
            served = (_backends(race) - backends) / SECONDS
        finally:
            herding.close()
    yield Sample("idle", f"processor, {SYNCS} syncs: controllers", OURS, 100 * share, "% of a core", round=number)
    yield Sample("idle", f"processor, {SYNCS} syncs: servers", OURS, 100 * served, "% of a core", round=number)


def _wide(race: Race, number: int) -> Iterator[Sample]:
    with race.grounds.databases(MANY) as nodes:
        made = lab.build(
            Connector(Config(catalog={})),
            nodes,
            SyncType.PUSHDELTA,
            tuple(f"t{table}" for table in range(WIDE)),
            onetimecopy=OneTimeCopy.OFF,
        )
        try:
            made.settle()
            runner = made.sync()[0]
            began = time.monotonic()
            for _ in range(TICKS):
                runner.pending()
            tick = (time.monotonic() - began) / TICKS
            nodes[0].execute("update t7 set v = 'y'")
            began = time.monotonic()
            runner.run()
            one = time.monotonic() - began
        finally:
            made.close()
    yield Sample("idle", f"tick, {WIDE} tables", OURS, tick * 1000, "ms", round=number)
    yield Sample("idle", f"batch of one row, {WIDE} tables", OURS, one * 1000, "ms", round=number)


def _backlog(race: Race, number: int) -> Iterator[Sample]:
    """Memory after a backlog of as many changed rows as there are transactions, five times over."""
    with race.grounds.databases() as nodes:
        herding = Herding(race.grounds, nodes, [TABLES])
        try:
            for _ in range(5):
                nodes[0].execute(
                    "update pgbench_accounts set abalance = abalance + 1 where aid <= %s", [race.transactions]
                )
            nodes[0].execute("insert into bench_marker (id) values (1)")
            target = nodes[1]
            while not target.value("select count(*) from bench_marker"):
                time.sleep(0.1)
            (pid,) = herding.controllers()
            most = _peak(pid)
        finally:
            herding.close()
    yield Sample("idle", "controller's memory after a backlog", OURS, most / 2**20, "MB", round=number)


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _backends(race: Race) -> float:
    """Processor time of both servers' processes that serve ours."""
    pids: list[int] = []
    for server in (race.grounds.source, race.grounds.target):
        query = "select pid from pg_stat_activity where application_name like 'pgherd %'"
        pids += [pid for (pid,) in server.execute(query)]
    return of_processes([pid for pid in pids if processes.title(pid)])


WORKLOAD = Workload(
    "idle",
    "what ten idle syncs, a sync of a thousand tables and a backlog cost the machine of the controllers",
    _run,
    (
        Target("idle", f"processor, {SYNCS} syncs: controllers", "", 1.0),
        Target("idle", f"tick, {WIDE} tables", "", 20.0),
        Target("idle", "controller's memory after a backlog", "", 120.0),
    ),
)

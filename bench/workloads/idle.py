"""What idle syncs cost, and large ones: ten idle syncs, ten targets, a tick over a thousand tables, a long backlog.

Counts our own processes and the backends that serve them, not the catalog's commands. pgherd alone: its peers do not
have the numbers to compare.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, LiteralString

from psycopg import Connection

from bench import traffic
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
from tests.fixtures.wait import until

SYNCS, SECONDS, WIDE, TICKS = 10, 15, 1000, 50

TARGETS, CHANGES, PAUSE = 10, 20, 0.3

CHANGED = 10
"""How often each row of the backlog changes: the default of 200,000 rows makes two million log rows, -n 1000000 ten."""

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
        yield from _broad(race, number)
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


def _broad(race: Race, number: int) -> Iterator[Sample]:
    """One source, ten targets: what their links cost at rest, and how soon a change is on all of them."""
    servers = [race.grounds.source, *[race.grounds.target] * TARGETS]
    with race.grounds.databases(TEN, servers) as nodes:
        herding = Herding(race.grounds, nodes, [[f"t{table}" for table in range(TARGETS)]])
        try:
            with ExitStack() as stack:
                source, *targets = [stack.enter_context(node.connect()) for node in nodes]
                source.execute("insert into t0 select i, 'x' from generate_series(1, 10000) i")
                _await_row(targets, "t0", 10000)
                times = []
                for key in range(1, CHANGES + 1):
                    began = time.monotonic()
                    source.execute("insert into t1 values (%s, 'x')", [key])
                    _await_row(targets, "t1", key)
                    times.append(time.monotonic() - began)
                    time.sleep(PAUSE)
            time.sleep(LATELY + AT_REST)
            before = of_processes(herding.controllers())
            time.sleep(SECONDS)
            share = (of_processes(herding.controllers()) - before) / SECONDS
        finally:
            herding.close()
    yield Sample("idle", f"processor, {TARGETS} targets: controller", OURS, 100 * share, "% of a core", round=number)
    yield Sample("idle", f"a change on {TARGETS} targets", OURS, 1000 * median(times), "ms", round=number)


def _await_row(targets: list[Connection[Any]], table: str, key: int) -> None:
    """Wait until the targets have a row."""
    query: LiteralString = f"select from {table} where id = {key}"
    until(lambda: all(target.execute(query).rowcount for target in targets), 60, "all targets have it", every=0.001)


def _backlog(race: Race, number: int) -> Iterator[Sample]:
    """A sync is paused while ten times as many changes are logged as there are transactions: a few rows' or many's."""
    changes = CHANGED * race.transactions
    with race.grounds.databases() as nodes:
        herding = Herding(race.grounds, nodes, [TABLES])
        try:
            herding.pause()
            for _ in range(CHANGED):
                nodes[0].execute(
                    "update pgbench_accounts set abalance = abalance + 1 where aid <= %s", [race.transactions]
                )
            traffic.mark(nodes[0])
            began = time.monotonic()
            herding.resume()
            traffic.await_mark(nodes[1:])
            seconds = time.monotonic() - began
            (pid,) = herding.controllers()
            most = _peak(pid)
            traffic.check_equal(nodes, TABLES)
        finally:
            herding.close()
    yield Sample("idle", f"a backlog of {changes:,} changes", OURS, seconds, "s", round=number)
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
    "what ten idle syncs, ten targets, a thousand tables and a backlog cost the machine of the controllers",
    _run,
    (
        Target("idle", f"processor, {SYNCS} syncs: controllers", "", 1.0),
        Target("idle", f"tick, {WIDE} tables", "", 20.0),
        Target("idle", "controller's memory after a backlog", "", 120.0),
    ),
)

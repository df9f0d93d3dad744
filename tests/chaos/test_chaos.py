"""Masters under the daemon while everything breaks: afterwards all hold the same, and nothing acknowledged is missing.

In the suite for a few seconds; `make chaos MINUTES=10` goes on for as long as asked, says what it did and found, and
names the seed by which the order of the faults (not their very instants) comes again.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import psycopg
import pytest

from replicator import ledger, repair
from replicator.catalog import Catalog
from replicator.ledger import Filters
from replicator.model import SyncType
from tests.fixtures.cli import Program
from tests.fixtures.daemon import World, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.servers import Server
from tests.fixtures.wait import until

SECONDS = float(os.environ.get("PGHERD_TEST_CHAOS_SECONDS") or 16) / 2
"""The other half is for `test_failpoints`."""
SEED = int(os.environ.get("PGHERD_TEST_SEED") or 1)
TABLE = "create table t (id int primary key, v text, n bigint not null default 0)"
SHARED = 8
GONE = (psycopg.OperationalError, psycopg.errors.AdminShutdown, psycopg.errors.CrashShutdown)


@pytest.fixture
def nodes(private_server: Callable[..., Server]) -> Iterator[list[Node]]:
    """Three masters, each on a server of its own."""
    servers = [private_server() for _ in range(3)]
    factory = NodeFactory(servers[0])
    yield [factory(f"m{number}", server=server, schema=TABLE) for number, server in enumerate(servers, 1)]
    factory.close()


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, nodes: list[Node]) -> World:
    made = World(program, tmp_path, catalog_node)
    made.databases(*(node.database for node in nodes))
    nodes[0].execute(f"insert into t select i, 'v' from generate_series(1, {SHARED}) i")
    made.sync("s", "m1", "m2", "m3", type=SyncType.SWAP, counters=("n",))
    made("start").ok()
    until(lambda: all(len(rows(node)) == SHARED for node in nodes), 30, "all are filled")
    return made


class Application(threading.Thread):
    """Writes on one master, and connects again when that was killed. acknowledged: what it was told is committed.

    doubtful: what may have been committed or not, because the answer did not come.
    """

    def __init__(self, node: Node, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.node, self.number, self._stop_event = node, number, stop
        self.acknowledged: dict[int, str] = {}
        self.added: Counter[int] = Counter()
        self.doubtful: list[tuple[int, int]] = []

    def run(self) -> None:
        chance, key = random.Random(SEED * 10 + self.number), self.number * 1_000_000
        while not self._stop_event.is_set():
            with suppress(*GONE), self.node.connect() as connection:
                while not self._stop_event.is_set():
                    key += 1
                    self._write(connection, chance, key)
            time.sleep(0.05)  # an application that tries again

    def _write(self, connection: psycopg.Connection, chance: random.Random, key: int) -> None:
        value, shared, gain = f"{self.node.name} {key}", chance.randint(1, SHARED), chance.randint(-9, 9)
        self.doubtful.append((shared, gain))
        try:
            with connection.transaction():
                connection.execute("insert into t values (%s, %s)", [key, value])
                connection.execute("update t set n = n + %s where id = %s", [gain, shared])
                if chance.random() < 0.3:
                    connection.execute("update t set v = %s where id = %s", [value, chance.randint(1, SHARED)])
        except GONE:
            raise
        except psycopg.Error:
            self.doubtful.pop()  # refused, so not done
            return
        self.doubtful.pop()
        self.acknowledged[key] = value
        self.added[shared] += gain
        time.sleep(chance.random() / 50)  # the pace of an application


class Chaos:
    """The faults."""

    def __init__(self, world: World, nodes: list[Node]) -> None:
        self._world, self._nodes = world, nodes
        self._chance = random.Random(SEED)
        self.done: Counter[str] = Counter()

    def strike(self) -> None:
        """One of them."""
        kinds = {self.kill_controller: 3, self.cut: 3, self.crash: 2, self.purge: 1}
        (kind,) = self._chance.choices(list(kinds), list(kinds.values()))
        kind()
        self.done[kind.__name__.replace("_", " ")] += 1
        time.sleep(self._chance.random())  # at any moment

    def kill_controller(self) -> None:
        if pid := self._world.controllers().get("s"):
            self._world.kill(pid)

    def cut(self) -> None:
        """End some of the replicator's connections to a master, in the middle of whatever they do."""
        node = self._chance.choice(self._nodes)
        node.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'pgherd%%' and datname = current_database() and random() < 0.5"
        )

    def crash(self) -> None:
        """Kill a master's server, which recovers."""
        node = self._chance.choice(self._nodes)
        node.server.kill9()
        node.server.start()

    def purge(self) -> None:
        self._world("purge")


def test_masters_end_equal_and_nothing_acknowledged_is_missing(world: World, nodes: list[Node]) -> None:
    stop = threading.Event()
    applications = [Application(node, number, stop) for number, node in enumerate(nodes, 1)]
    for application in applications:
        application.start()
    chaos, end = Chaos(world, nodes), time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            chaos.strike()
    finally:
        stop.set()
        for application in applications:
            application.join()

    def equal() -> bool:
        held = [rows(node) for node in nodes]
        return all(one == other for one, other in combinations(held, 2))

    until(equal, 60 + SECONDS / 5, "all masters hold the same", every=0.5)
    held = {key: (value, n) for key, value, n in rows(nodes[0])}
    acknowledged = {key: value for application in applications for key, value in application.acknowledged.items()}
    missing = {key for key, value in acknowledged.items() if held.get(key, ("", 0))[0] != value}
    with Catalog.open(world.connector) as catalog:
        topology = catalog.topology()
    install = world.connector.config.install
    found = ledger.find(topology, install, world.connector, Filters())
    parked = repair.find(topology, install, world.connector).parked
    doubtful = [gain for application in applications for gain in application.doubtful]
    wrong = {
        shared: held[shared][1]
        for shared in range(1, SHARED + 1)
        if held[shared][1] not in _possible(shared, sum(a.added[shared] for a in applications), doubtful)
    }
    print(f"\nseed {SEED}, {SECONDS:.0f} s: {dict(chaos.done)}; {len(acknowledged)} writes acknowledged,")
    print(f"{len(doubtful)} without an answer; {len(found.conflicts)} conflicts, {len(parked)} parked")
    assert not missing - {int(conflict.key["id"]) for conflict in found.conflicts} - {int(p.key["id"]) for p in parked}
    assert not wrong, f"sums that are not what was added: {wrong}"


def _possible(shared: int, added: int, doubtful: list[tuple[int, int]]) -> set[int]:
    """What a counter may be: each addition that had no answer was done or not."""
    sums = {added}
    for key, gain in doubtful:
        if key == shared:
            sums |= {total + gain for total in sums}
    return sums

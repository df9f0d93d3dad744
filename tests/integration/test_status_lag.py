"""Lag, measured on real nodes: what counts as behind, for each kind of sync."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from replicator.model import Herd, Install, Sync, SyncType, TableName, Topology
from replicator.postgres import Connector
from replicator.signals import Stop
from replicator.status import lag
from replicator.status.lag import Lag, measure
from replicator.syncrun import LinkRunner
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Server

TABLES = "create table t (id int primary key, v text); create table u (id int primary key, v text)"

Move = Callable[[], None]
Prepared = tuple[Topology, Move]


@pytest.fixture
def source(node_factory: NodeFactory) -> Node:
    return node_factory("source", schema=TABLES)


@pytest.fixture
def target(node_factory: NodeFactory) -> Node:
    return node_factory("target", schema=TABLES)


@pytest.fixture
def prepare(source: Node, target: Node, connector: Connector) -> Iterator[Callable[[SyncType], Prepared]]:
    """Makes the links of a sync ready; the function that comes with the topology moves a batch by each."""
    runners: list[LinkRunner] = []

    def make(type: SyncType) -> Prepared:
        tables = (TableName("public", "t"), TableName("public", "u"))
        topology = Topology(
            databases={node.name: node.database for node in (source, target)},
            herds={"h": Herd(name="h", database="source", tables=tables)},
            syncs={"s": Sync(name="s", type=type, herd="h", targets=("target",))},
        )
        for link in topology.all_links(Install()):
            runners.append(LinkRunner(link, topology, connector, Stop(), lambda _: None))

        def move() -> None:
            for runner in runners:
                runner.run()

        return topology, move

    yield make
    for runner in runners:
        runner.close()


def measured(connector: Connector, topology: Topology) -> list[Lag]:
    """The lag of each link, in order."""
    links = list(topology.all_links(Install()))
    found = measure(connector, links)
    return [found[lag.key(link)] for link in links]


def test_before_the_first_copy_the_lag_is_not_known(
    prepare: Callable[[SyncType], Prepared], connector: Connector
) -> None:
    topology, _ = prepare(SyncType.PUSHDELTA)
    (found,) = measured(connector, topology)
    assert (found.rows, found.problem) == (None, "the first copy has not begun")


def test_what_is_committed_and_not_yet_there_counts(
    prepare: Callable[[SyncType], Prepared], connector: Connector, source: Node
) -> None:
    topology, move = prepare(SyncType.PUSHDELTA)
    move()
    assert measured(connector, topology) == [Lag(rows=0, seconds=0.0, parked=0, tables=2)]
    source.execute("insert into t select i, 'x' from generate_series(1, 30) i; insert into u values (1, 'x')")
    (found,) = measured(connector, topology)
    assert (found.rows, found.more, found.parked) == (31, False, 0)
    assert found.seconds is not None and 0 < found.seconds < 60
    move()
    assert measured(connector, topology) == [Lag(rows=0, seconds=0.0, parked=0, tables=2)]


def test_an_open_transaction_counts_from_its_commit_on(
    prepare: Callable[[SyncType], Prepared], connector: Connector, source: Node
) -> None:
    topology, move = prepare(SyncType.PUSHDELTA)
    move()
    with source.connect() as late:
        late.autocommit = False
        late.execute("insert into t values (1, 'late')")
        source.execute("insert into t values (2, 'early')")
        move()
        assert measured(connector, topology)[0].rows == 0
    assert measured(connector, topology)[0].rows == 1
    move()
    assert measured(connector, topology)[0].rows == 0


def test_each_direction_of_a_swap_counts_what_was_written_there(
    prepare: Callable[[SyncType], Prepared], connector: Connector, source: Node, target: Node
) -> None:
    topology, move = prepare(SyncType.SWAP)
    move()
    move()
    source.execute("insert into t select i, 'x' from generate_series(1, 5) i")
    target.execute("insert into t select i, 'x' from generate_series(11, 13) i")
    assert [found.rows for found in measured(connector, topology)] == [5, 3]
    move()
    assert [found.rows for found in measured(connector, topology)] == [0, 0], "what came from there does not go back"


def test_a_whole_copy_is_behind_when_its_source_was_written_to(
    prepare: Callable[[SyncType], Prepared], connector: Connector, source: Node
) -> None:
    topology, move = prepare(SyncType.FULLCOPY)
    move()
    assert measured(connector, topology)[0].rows == 0
    source.execute("insert into t values (1, 'x')")
    found = measured(connector, topology)[0]
    assert found.rows and found.seconds
    move()
    assert measured(connector, topology)[0].rows == 0


def test_a_long_backlog_is_counted_up_to_a_limit(
    prepare: Callable[[SyncType], Prepared], connector: Connector, source: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology, move = prepare(SyncType.PUSHDELTA)
    move()
    source.execute("insert into t select i, 'x' from generate_series(1, 1500) i; insert into u values (1, 'x')")
    assert measured(connector, topology)[0].rows == 1501
    monkeypatch.setattr(lag, "COUNTED", 1200)
    found = measured(connector, topology)[0]
    assert (found.rows, found.more) == (1200, True)


def test_a_count_that_takes_too_long_gives_way_to_what_is_known(
    prepare: Callable[[SyncType], Prepared], connector: Connector, source: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology, move = prepare(SyncType.PUSHDELTA)
    move()
    source.execute("insert into t select i, 'x' from generate_series(1, 200000) i")
    monkeypatch.setattr(lag, "COUNT_MS", 15)
    monkeypatch.setattr(lag, "FIRST_LOOK", 10)
    found = measured(connector, topology)[0]
    assert (found.rows, found.more) == (10, True)


def test_parked_keys_are_counted(
    prepare: Callable[[SyncType], Prepared], connector: Connector, source: Node, target: Node
) -> None:
    topology, move = prepare(SyncType.PUSHDELTA)
    move()
    target.execute("alter table t add check (v <> 'bad')")
    source.execute("insert into t values (1, 'good'), (2, 'bad')")
    move()
    assert measured(connector, topology) == [Lag(rows=0, seconds=0.0, parked=1, tables=2)]


def test_a_silent_node_is_told_and_does_not_keep_the_others_waiting(
    prepare: Callable[[SyncType], Prepared], connector: Connector, server: Server, proxy: Callable[[Server], Proxy]
) -> None:
    topology, move = prepare(SyncType.PUSHDELTA)
    move()
    line = proxy(server)
    line.stall()
    both = replace(
        topology,
        databases={**topology.databases, "away": replace(line.database(topology.databases["target"]), name="away")},
        syncs={"s": replace(topology.syncs["s"], targets=("target", "away"))},
    )
    began = time.monotonic()
    there, silent = measured(connector, both)
    assert time.monotonic() - began < lag.MEASURE_SECONDS
    assert there.rows == 0
    assert silent.rows is None and silent.problem.startswith("away (") and "does not answer" in silent.problem


def test_what_hangs_is_left_behind() -> None:
    never = threading.Event()
    assert lag.at_once({"quick": lambda: 1, "hangs": lambda: never.wait(30)}, 0.5) == {"quick": 1}
    never.set()

"""The bell: who listens hears of the first change at once, whoever writes without listeners notifies nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from replicator.capture import bell
from replicator.model import Install, SyncType
from replicator.syncrun import LinkRunner
from tests.fixtures.lab import Build, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.wait import until

TABLE = "create table t (id int primary key, v text)"


@contextmanager
def listening(node: Node) -> Iterator[psycopg.Connection[Any]]:
    with node.connect() as connection:
        connection.execute(f"listen {bell.channel(Install())}")
        yield connection


def heard(connection: psycopg.Connection[Any], seconds: float = 0.0) -> int:
    return len(list(connection.notifies(timeout=seconds, stop_after=1 if seconds else None)))


def rings(runner: LinkRunner, seconds: float) -> bool:
    return until(runner.rang, seconds, "the bell rings", every=0.01)


def settled(lab: Build, pair: Pair, type_: SyncType = SyncType.PUSHDELTA, **options: object) -> LinkRunner:
    made = lab(list(pair), type_, **options)
    made.settle()
    runner = made.sync()[0]
    until(lambda: not runner.pending() or runner.run().counts is None, 10, "nothing is to be moved")
    return runner


def test_the_first_change_rings_and_the_row_arrives(plain: NodeFactory, lab: Build) -> None:
    pair = plain.pair(schema=TABLE)
    runner = settled(lab, pair)
    assert runner.arm()
    assert not runner.pending()
    assert not runner.rang()
    pair.source.execute("insert into t values (1, 'x')")
    assert rings(runner, 5)
    assert not runner.rang(), "it is told once"
    assert runner.run().counts.inserted == 1
    assert rows(pair.target) == rows(pair.source)


def test_nobody_is_notified_while_nobody_listens(plain: NodeFactory, lab: Build) -> None:
    pair = plain.pair(schema=TABLE)
    runner = settled(lab, pair)
    with listening(pair.source) as connection:
        pair.source.execute("insert into t values (1, 'x')")
        assert not heard(connection, 0.2)
        runner.run()
        until(lambda: not runner.pending() and runner.arm(), 5, "it is armed")
        pair.source.execute("insert into t values (2, 'x')")
        assert heard(connection, 5) == 1
        assert rings(runner, 5)
        runner.run()  # which disarms it, and says so
        assert heard(connection, 5) == 1
        assert not runner.rang(), "its own bell is nothing new"
        pair.source.execute("insert into t values (3, 'x')")
        assert not heard(connection, 0.2)


def test_a_transaction_that_did_not_notify_keeps_it_from_being_armed(plain: NodeFactory, lab: Build) -> None:
    pair = plain.pair(schema=TABLE)
    runner = settled(lab, pair)
    with pair.source.connect(autocommit=False) as application:
        application.execute("insert into t values (1, 'x')")
        assert not runner.arm()
        application.commit()
        assert runner.arm()
        assert runner.pending(), "what was committed in between is found by the look after arming"


@pytest.mark.parametrize("type_", [SyncType.PUSHDELTA, SyncType.FULLCOPY, SyncType.SWAP])
def test_every_kind_of_log_rings(plain: NodeFactory, lab: Build, type_: SyncType) -> None:
    pair = plain.pair(schema="create table t (id int primary key, v text, n int not null default 0)")
    runner = settled(lab, pair, type_, **({"counters": ("n",)} if type_ is SyncType.SWAP else {}))
    assert runner.arm()
    pair.source.execute("insert into t values (1, 'x')")
    assert rings(runner, 5)


def test_what_flows_onward_rings_at_the_next_link(plain: NodeFactory, lab: Build) -> None:
    nodes = [plain(name, schema=TABLE) for name in ("a", "b", "c")]
    onward = settled(lab, Pair(nodes[1], nodes[2]))
    first = lab(nodes[:2], makedelta=True)
    first.settle()
    until(lambda: not onward.pending() or onward.run().counts is None, 10, "nothing is to be moved")
    assert onward.arm()
    nodes[0].execute("insert into t values (1, 'x')")
    first.run()
    assert rings(onward, 5)


def test_of_several_links_one_holds_it_and_hands_it_on(plain: NodeFactory, lab: Build) -> None:
    a, b, c = (plain(name, schema=TABLE) for name in ("a", "b", "c"))
    one, other = settled(lab, Pair(a, b)), settled(lab, Pair(a, c))
    assert one.arm() and other.arm()
    assert not other.rang()
    one.run()
    assert rings(other, 5), "the holder says that it has let go"
    assert other.arm()
    a.execute("insert into t values (1, 'x')")
    assert rings(other, 5) and rings(one, 5)


def test_servers_with_two_phase_commit_are_left_alone(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    runner = settled(lab, nodes)
    assert not runner.arm()
    with nodes.source.connect(autocommit=False) as application:
        application.execute("insert into t values (1, 'x')")
        application.execute("prepare transaction 'bell'")
    with nodes.source.connect() as application:
        application.execute("commit prepared 'bell'")

"""Three masters under the daemon: killed at any moment, one added and one taken out under load, paused by abort."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from replicator.catalog import Catalog
from replicator.ledger import Filters, find
from replicator.model import SyncType
from tests.fixtures.cli import Program
from tests.fixtures.daemon import TABLE, World, await_equal, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until
from tests.fixtures.writers import writing


@pytest.fixture
def nodes(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(f"m{number}", schema=TABLE) for number in (1, 2, 3, 4)]


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, nodes: list[Node]) -> World:
    made = World(program, tmp_path, catalog_node)
    made.databases(*(node.database for node in nodes))
    return made


def all_equal(nodes: list[Node]) -> None:
    for other in nodes[1:]:
        await_equal(nodes[0], other, 60)


def start(world: World, nodes: list[Node], **options: object) -> None:
    nodes[0].execute("insert into t select i, 'v' from generate_series(1, 5) i")
    world.sync("s", nodes[0].name, *(node.name for node in nodes[1:]), type=SyncType.SWAP, **options)
    world("start").ok()
    all_equal(nodes)


def test_killed_again_and_again_nothing_acknowledged_is_lost(world: World, nodes: list[Node]) -> None:
    masters = nodes[:3]
    start(world, masters)
    with writing(masters) as writers:
        for seed in range(4):  # each death is followed by a pause twice as long
            wanted = sum(len(writer.written) for writer in writers) + 60
            until(lambda wanted=wanted: sum(len(w.written) for w in writers) > wanted, 30, "they write on")
            time.sleep(random.Random(seed).random() / 5)  # any moment will do
            world.kill(until(lambda: world.controllers().get("s"), 10, "the controller runs"))
    all_equal(masters)
    held = dict(rows(masters[1]))
    for writer in writers:
        assert {key: held.get(key) for key in writer.written} == writer.written
    topology = _topology(world)
    found = find(topology, world.connector.config.install, world.connector, Filters()).conflicts
    assert found, "masters that update five rows meet now and then"


def test_a_copy_killed_at_its_end_goes_on_and_loses_nothing_of_a_third_master(
    world: World, program: Program, nodes: list[Node], tmp_path: Path
) -> None:
    masters, gate = nodes[:3], tmp_path / "gate"
    program.env["PGHERD_FAILPOINT"] = f"copy.before-end:wait={gate}"
    masters[0].execute("insert into t values (1, 'v')")
    world.sync("s", "m1", "m2", "m3", type=SyncType.SWAP)
    world("start").ok()
    until((tmp_path / "gate.reached").exists, 20, "the ranges of one copy are done, the copy is not")
    masters[1].execute("insert into t values (2, 'of m2')")
    masters[2].execute("insert into t values (3, 'of m3')")
    until(lambda: len(rows(masters[0])) == 2, 20, "the one that has joined has sent its row")
    world.kill(world.controllers()["s"])
    gate.touch()
    all_equal(masters)
    assert [key for key, _ in rows(masters[0])] == [1, 2, 3]


def _topology(world: World):

    with Catalog.open(world.connector) as catalog:
        return catalog.topology()


def test_a_master_comes_and_one_goes_while_all_write(world: World, nodes: list[Node]) -> None:
    start(world, nodes[:3])
    with writing(nodes[:3]) as writers:
        until(lambda: all(len(writer.written) > 30 for writer in writers), 30, "they write")
        world("update", "dbgroup", "s_group", "add", "m4").ok()
        until(lambda: len(rows(nodes[3])) > 100, 60, "the new one is filled")
        before = len(writers[1].written)
        until(lambda: len(writers[1].written) > before + 30, 30, "they write on")
    all_equal(nodes)
    nodes[3].execute("update t set v = 'from the new one' where id = 1")
    all_equal(nodes)
    world("update", "dbgroup", "s_group", "remove", "m3").ok()
    assert nodes[2].execute("select from pg_namespace where nspname = 'pgherd'") == []
    nodes[1].execute("update t set v = 'without the third' where id = 2")
    all_equal([nodes[0], nodes[1], nodes[3]])
    assert (2, "without the third") not in rows(nodes[2])
    verified = world("verify", "s").ok().out
    assert verified.count("  equal") == 3


def disagree(pair: list[Node]) -> None:
    """Write the same row on both, each before it can have heard of the other."""
    with pair[0].connect() as one, pair[1].connect() as other:
        for connection, value in ((one, "a"), (other, "b")):
            connection.autocommit = False
            connection.execute("update t set v = %s where id = 1", [value])
        one.commit()
        other.commit()


def test_abort_pauses_the_sync_until_told(world: World, nodes: list[Node]) -> None:
    pair = nodes[:2]
    start(world, pair, strategy="abort")
    disagree(pair)
    until(lambda: _topology(world).syncs["s"].paused, 20, "the sync is paused")
    assert "the strategy is abort; see `replicator conflicts list`: pauses" in world.log()
    assert "id=1" in world("conflicts", "list").ok().out
    assert [rows(node)[0][1] for node in pair] == ["a", "b"]
    pair[1].execute("update t set v = 'settled' where id = 1")
    world("resume", "s").ok()
    all_equal(pair)
    assert rows(pair[0])[0] == (1, "settled")


def test_rows_that_a_strategy_leaves_different_are_named_so(world: World, nodes: list[Node]) -> None:
    pair = nodes[:2]
    start(world, pair, strategy="skip")
    disagree(pair)
    until(lambda: "id=1" in world("conflicts", "list").ok().out, 20, "they have met")
    assert "id=1: v: a | b (left so after a conflict)" in world("verify", "s").exits(3).out


def test_a_wrong_strategy_is_refused_in_one_sentence(world: World, nodes: list[Node]) -> None:
    world("add", "herd", "h", "t", "--db", "m1").ok()
    for strategy, why in (
        ("sideways", "'sideways' is neither a strategy"),
        ("sql:nowhere", "on m1 there is no function public.nowhere; create public.nowhere(jsonb, jsonb, jsonb)"),
        ("python:no_such_module:f", "No module named 'no_such_module'"),
    ):
        refused = world("add", "sync", "s", "--type", "swap", "--source", "h", "--target", "m2", "--strategy", strategy)
        assert why in refused.exits(2).err
    refused = world("add", "sync", "s", "--type", "swap", "--source", "h", "--target", "m2", "--counter", "v").exits(2)
    assert "counter v of public.t on m1 is text, which is not a number" in refused.err
    assert "s" not in _topology(world).syncs

"""Databases that come into a running swap, leave it, or are away for long, while applications write on all others."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from replicator.catalog import Catalog
from replicator.model import SyncType
from tests.fixtures.cli import Program
from tests.fixtures.daemon import TABLE, World, await_equal, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.servers import Server
from tests.fixtures.wait import until
from tests.fixtures.writers import Writer, writing

MANY = 2_000


@pytest.fixture
def breakable(private_server: Callable[..., Server]) -> Server:
    return private_server()


@pytest.fixture
def masters(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(f"m{number}", schema=TABLE) for number in (1, 2)]


@pytest.fixture
def third(breakable: Server) -> Node:
    return NodeFactory(breakable)("m3", schema=TABLE)


@pytest.fixture
def slave(node_factory: NodeFactory) -> Node:
    return node_factory("s1", schema=TABLE)


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, masters: list[Node], third: Node, slave: Node) -> World:
    """A swap of two masters, running."""
    made = World(program, tmp_path, catalog_node)
    made.databases(*(node.database for node in (*masters, third, slave)))
    masters[0].execute("insert into t select i, 'v' from generate_series(1, %s) i", [MANY])
    made.sync("s", "m1", "m2", type=SyncType.SWAP)
    made("start").ok()
    await_equal(*masters, seconds=30)
    return made


def written_everywhere(writers: list[Writer], nodes: list[Node]) -> None:
    for node in nodes:
        held = dict(rows(node))
        for writer in writers:
            missing = {key for key, value in writer.written.items() if held.get(key) != value}
            assert not missing, f"{writer.node} was told that they are committed; {node} lacks {sorted(missing)[:5]}"


def members(world: World) -> set[str]:
    with Catalog.open(world.connector) as catalog:
        topology = catalog.topology()
    return {database.name for database in topology.members(topology.syncs["s"])}


def test_nodes_come_and_go_while_all_write(world: World, masters: list[Node], third: Node, slave: Node) -> None:
    with writing(masters) as writers:
        until(lambda: all(len(writer.written) > 30 for writer in writers), 30, "they write")
        added = world("add-node", "s", "m3").ok()
        copied = re.search(r"m3 is in step: (\d+) rows copied", added.out)
        assert copied and int(copied[1]) >= MANY, added.out
        assert "m3 is filled" in added.err
        assert len(rows(third)) >= MANY
        out = world("add-node", "s", "s1", "--role", "target").ok().out
        assert "s1 is in step" in out
        with writing([third], first=3) as (late,):
            until(lambda: len(late.written) > 30, 30, "the new one writes")
            refused = world("remove-node", "s", "m3", seconds=90).exits(1)
            assert "written on m3" in refused.err and "--force" in refused.err
            assert members(world) == {"m1", "m2", "m3", "s1"}
            before = len(late.written)
            until(lambda: len(late.written) > before + 10, 30, "it writes on, and nothing is lost")
        writers.append(late)
        world("remove-node", "s", "m3").ok()
        assert third.execute("select from pg_namespace where nspname = 'pgherd'") == []
        kept = rows(third)
        before = len(writers[0].written)
        until(lambda: len(writers[0].written) > before + 30, 30, "the others write on")
    await_equal(*masters, seconds=60)
    await_equal(masters[0], slave, 30)
    written_everywhere(writers, [*masters, slave])
    assert rows(third) == kept


def test_one_that_is_away_for_long_catches_up_or_is_let_go(
    world: World, masters: list[Node], third: Node, breakable: Server
) -> None:
    world("add-node", "s", "m3").ok()
    breakable.stop("immediate")
    with writing(masters) as writers:
        for number, node in enumerate(masters, 5):
            node.execute(
                "insert into t select i, 'away' from generate_series(%s::int, %s::int) i",
                [number * 100_000, number * 100_000 + MANY],
            )
        until(lambda: all(len(writer.written) > 50 for writer in writers), 30, "the others never stopped")
    await_equal(*masters, seconds=30)
    refused = world("remove-node", "s", "m3").exits(4)
    assert "does not answer" in refused.err and "--force" in refused.err
    assert members(world) == {"m1", "m2", "m3"}
    breakable.start()
    await_equal(masters[0], third, 60)
    written_everywhere(writers, [*masters, third])

    breakable.stop("immediate")
    masters[0].execute("update t set v = 'without it' where id = 1")
    await_equal(*masters, seconds=30)
    gone = world("remove-node", "s", "m3", "--force").ok()
    assert "Left on m3: positions on m1 of sync s" in gone.out and "remove leftovers m3" in gone.out
    assert members(world) == {"m1", "m2"}
    kept = {row["node"] for row in json.loads(world("purge", "--json").ok().out)["logs"] if "m3" in row["holder"]}
    assert not kept, "nothing is kept for one that was let go"
    breakable.start()
    until(lambda: third.value("select true"), 30, "it answers")
    assert "Cleaned up 3 of 3" in world("remove", "leftovers", "m3").ok().out
    assert third.execute("select from pg_namespace where nspname = 'pgherd'") == []


def test_whoever_stops_watching_leaves_it_to_the_daemon(
    world: World, program: Program, masters: list[Node], third: Node
) -> None:
    with third.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("lock table t in access exclusive mode")  # so it does not arrive meanwhile
        said = program.folder / "add-node.out"
        watching = program.start("replicator", "add-node", "s", "m3", log=said)
        until(lambda: "s: m1 -> m3" in said.read_text(), 30, "it says where it is")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
        assert "The daemon goes on by itself" in said.read_text()
    await_equal(masters[0], third, 30)
    assert "m3 is in step" in world("add-node", "s", "m3").ok().out


def test_slaves_follow_another_lead_while_theirs_is_away(
    program: Program,
    tmp_path: Path,
    catalog_node: Node,
    masters: list[Node],
    third: Node,
    slave: Node,
    breakable: Server,
) -> None:
    world = World(program, tmp_path, catalog_node)
    world.databases(*(node.database for node in (*masters, third, slave)))
    third.execute("insert into t select i, 'v' from generate_series(1, %s) i", [MANY])
    world.sync("s", "m3", "m1", "m2", type=SyncType.SWAP)
    world("add-node", "s", "s1", "--role", "target", "--no-wait").ok()
    world("start").ok()
    await_equal(third, slave, 30)
    will = "select count(*) from pgherd.progress where source = 'm3' and will <> '{}'"

    def known() -> bool:
        third.execute("update t set v = v where id = 1")
        return bool(slave.value(will))

    until(known, 20, "the slave could follow another", every=0.2)
    masters[0].execute("update t set v = 'in time' where id = 1")
    await_equal(masters[0], slave)
    breakable.stop("immediate")
    masters[0].execute("insert into t values (-1, 'while the lead is away')")

    def waits() -> bool:
        text = world("status").ok().out
        assert "s1 gets no changes until m3 answers; `replicator update herd s_herd --db m" in text, text
        return True

    until(waits, 20, "status says for whom the slave waits", every=0.2)
    link = world.links("s")["s1"]
    assert link["waits_for"] == "m3" and link["since"]
    world("update", "herd", "s_herd", "--db", "m1").ok()
    await_equal(masters[0], slave, 30)
    assert world.links("s")["s1"]["total"]["inserted"] <= 1, "it was not copied anew"
    assert members(world) == {"m1", "m2", "m3", "s1"}
    breakable.start()
    third.execute("insert into t values (-2, 'the former lead is back')")
    for node in (*masters, slave):
        await_equal(third, node, 30)

"""Servers that go away and come back: the daemon mends itself, delays nobody else, and the status says why."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.model import Install
from tests.fixtures.cli import Program
from tests.fixtures.daemon import TABLE, World, await_equal, next_in_line, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.servers import Server
from tests.fixtures.wait import until


@pytest.fixture
def breakable(private_server: Callable[..., Server]) -> Server:
    """A server that the test may stop."""
    return private_server()


@pytest.fixture
def source(node_factory: NodeFactory) -> Node:
    return node_factory("source", schema=TABLE)


@pytest.fixture
def steady(node_factory: NodeFactory) -> Node:
    return node_factory("steady", schema=TABLE)


@pytest.fixture
def shaky(breakable: Server) -> Node:
    return NodeFactory(breakable)("shaky", schema=TABLE)


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, source: Node, steady: Node, shaky: Node) -> World:
    """A sync from `source` to `steady` and `shaky`, running."""
    made = World(program, tmp_path, catalog_node)
    made.databases(source.database, steady.database, shaky.database)
    made.sync("alpha", "source", "steady", "shaky")
    made("start").ok()
    made.await_state("alpha", "steady", "idle")
    made.await_state("alpha", "shaky", "idle")
    return made


@pytest.mark.parametrize("seconds", [1, 15])
def test_a_target_may_be_away(
    world: World, source: Node, steady: Node, shaky: Node, breakable: Server, seconds: int
) -> None:
    before = (world.master(), world.controllers())
    breakable.stop("immediate")
    back = time.monotonic() + seconds
    link = world.await_state("alpha", "shaky", "retrying", 2.5)
    assert "shaky" in link["detail"]
    number = 0
    while time.monotonic() < back:
        number += 1
        source.execute("insert into t values (%s, 'x')", [number])
        await_equal(source, steady, 3)
    link = world.links("alpha")["shaky"]
    assert link["state"] == "retrying" and "does not answer" in link["detail"]
    assert "does not answer" in link["last_error"] and link["last_bad"]
    assert link["lag"]["rows"] is None and "shaky" in link["lag"]["problem"]
    assert world.links("alpha")["steady"]["state"] in ("idle", "running")
    breakable.start()
    await_equal(source, shaky, 13)
    world.await_state("alpha", "shaky", "idle", 2.5)
    assert (world.master(), world.controllers()) == before, "nothing was restarted"


def test_a_source_may_be_away(
    program: Program, tmp_path: Path, catalog_node: Node, shaky: Node, steady: Node, breakable: Server
) -> None:
    world = World(program, tmp_path, catalog_node)
    world.databases(shaky.database, steady.database)
    world.sync("alpha", "shaky", "steady")
    world("start").ok()
    world.await_state("alpha", "steady", "idle")
    shaky.execute("insert into t values (1, 'before')")
    breakable.stop("immediate")
    world.await_state("alpha", "steady", "retrying", 2.5)
    breakable.start()
    shaky.execute("insert into t values (2, 'after')")
    await_equal(shaky, steady, 13)
    world.await_state("alpha", "steady", "idle", 2.5)


def test_a_server_that_kills_connections_is_come_back_to(world: World, source: Node, shaky: Node) -> None:
    for number in range(5):
        source.execute("insert into t values (%s, 'x')", [number])
        shaky.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'pgherd%'")
        await_equal(source, shaky)


def test_what_a_person_must_mend_is_said_and_mended_without_a_restart(world: World, source: Node, shaky: Node) -> None:
    before = world.controllers()
    shaky.execute("alter table t rename to elsewhere")
    source.execute("insert into t values (1, 'x')")
    why = {"table": "public.t", "parked": True, "why": "the table is missing on shaky"}
    until(lambda: world.await_state("alpha", "shaky", "idle")["tables"] == [why], 10, "the status says why")
    shaky.execute("alter table elsewhere rename to t")
    await_equal(source, shaky, 12)
    assert world.controllers() == before


def test_a_controller_that_hangs_is_said_not_to_respond(world: World) -> None:
    pid = world.controllers()["alpha"]
    os.kill(pid, signal.SIGSTOP)
    link = world.await_state("alpha", "steady", "not responding", 8)
    assert f"no word from its controller (pid {pid})" in link["detail"]
    os.kill(pid, signal.SIGCONT)
    world.await_state("alpha", "steady", "idle")


def test_a_hanging_controller_does_not_keep_the_daemon_from_stopping(world: World) -> None:
    os.kill(world.controllers()["alpha"], signal.SIGSTOP)
    world("stop", "--timeout", 15).ok()
    assert world.alone()


def test_a_master_whose_lock_was_taken_by_another_stops_itself(world: World, catalog_node: Node) -> None:
    end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%% master %%'"
    with next_in_line(catalog_node, Install().lock_key("master")) as taken:
        catalog_node.execute(end)
        assert taken.wait(5)
        until(lambda: world.master() is None, 15, "the master has left")
    until(world.alone, 2, "its children too")
    assert "another master runs this install" in world.log()


def test_what_was_done_while_the_daemon_was_killed_is_not_lost(
    world: World, source: Node, steady: Node, shaky: Node
) -> None:
    for number in range(4):
        source.execute(
            "insert into t select i, 'x' from generate_series(%s::int, %s::int) i", [number * 50, number * 50 + 49]
        )
        world.kill(world.master())
        source.execute("update t set v = v || 'y' where id %% 7 = %s", [number])
        assert world.links("alpha")["steady"]["state"] == "stopped"
        world("start").ok()
    await_equal(source, steady)
    await_equal(source, shaky)
    assert len(rows(steady)) == 200


def test_an_unknown_server_shows_as_such_and_the_rest_is_shown(world: World, shaky: Node, breakable: Server) -> None:
    breakable.stop()
    shown = world("status").ok().out
    assert "alpha: source -> shaky: its lag is not known" in shown or "alpha: source -> shaky: retrying" in shown
    assert "steady" in shown
    breakable.start()
    world.change(lambda catalog: catalog.update_database(replace(shaky.database, active=False)))
    world.await_state("alpha", "shaky", "inactive", 2.5)
    assert world.links("alpha")["steady"]["state"] in ("idle", "running", "starting")

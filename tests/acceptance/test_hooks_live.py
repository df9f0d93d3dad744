"""Hooks under the daemon: what goes wrong in one is its sync's error alone, and one that says stop pauses the sync."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replicator.catalog import Catalog
from replicator.hook import Hook, Moment
from tests.fixtures.cli import Program
from tests.fixtures.daemon import TABLE, World, await_equal, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until

STUCK = """
import time
def stuck(info):
    while True:
        time.sleep(1)
"""


@pytest.fixture
def nodes(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(name, schema=TABLE) for name in ("source", "target", "beside")]


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, nodes: list[Node]) -> World:
    made = World(program, tmp_path, catalog_node)
    made.databases(*(node.database for node in nodes))
    return made


def test_a_hook_that_never_returns_is_an_error_of_its_sync_alone(
    world: World, nodes: list[Node], tmp_path: Path
) -> None:
    source, target, beside = nodes
    code = tmp_path / "mine.py"
    code.write_text(STUCK)
    hook = Hook(name="stuck", moment=Moment.AFTER_ROWS, call=f"python:{code}:stuck", seconds=0.5)
    world.sync("hooked", "source", "target", hooks=(hook,))
    world.sync("plain", "source", "beside")
    world("start").ok()
    master = until(world.master, 10, "the daemon runs")
    world.await_state("hooked", "target", "idle")
    source.execute("insert into t values (1, 'a')")
    await_equal(source, beside)

    def told() -> bool:  # between the attempts it says what they do
        waiting = world.await_state("hooked", "target", "waiting")
        return bool(re.search(r"hook stuck \(after_rows\).* did not return within 0.5 seconds", waiting["detail"]))

    until(told, 10, "the status says which hook does not return")
    assert rows(target) == []
    world("update", "hook", "stuck", "--sync", "hooked", "--when", "exception").ok()
    await_equal(source, target)
    assert world.master() == master
    world("stop").ok()
    assert world.alone()


def test_a_stuck_function_dies_with_its_controller(
    world: World, program: Program, nodes: list[Node], tmp_path: Path
) -> None:
    code = tmp_path / "mine.py"
    code.write_text(STUCK)
    hook = Hook(name="stuck", moment=Moment.AFTER_ROWS, call=f"python:{code}:stuck", seconds=600)
    world.sync("hooked", "source", "target", hooks=(hook,))

    def stuck() -> set[int]:
        return {pid for pid, title in program.leftovers().items() if str(code) in title}

    world("start").ok()
    world.await_state("hooked", "target", "idle")  # a first copy has no hooks
    nodes[0].execute("insert into t values (1, 'a')")
    before = until(stuck, 10, "the function runs")
    world.kill(world.controllers()["hooked"])
    until(lambda: not before & stuck(), 5, "the function's process has gone with its controller")
    world("stop").ok()
    assert not stuck()


def test_a_hook_that_says_stop_pauses_its_sync(world: World, nodes: list[Node]) -> None:
    source, target, _ = nodes
    target.execute(
        "create function halt(info jsonb) returns jsonb language sql as 'select ''{\"stop\": \"enough\"}''::jsonb'"
    )
    world.sync("hooked", "source", "target", hooks=(Hook(name="h", moment=Moment.BEFORE_TXN, call="sql:halt"),))
    world("start").ok()
    world.await_state("hooked", "target", "idle")
    source.execute("insert into t values (1, 'a')")
    world.await_state("hooked", "target", "paused")
    assert rows(target) == []
    assert "hook h says stop: enough" in world.log()
    with Catalog.open(world.connector) as catalog:
        assert catalog.topology().syncs["hooked"].paused
    world("remove", "hook", "h", "--sync", "hooked").ok()
    world("resume", "hooked").ok()
    await_equal(source, target)

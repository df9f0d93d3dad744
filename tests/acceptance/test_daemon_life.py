"""The daemon's life as an operator sees it: started, stopped, killed, looked at."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from replicator.model import SyncType
from tests.fixtures import processes
from tests.fixtures.cli import Program
from tests.fixtures.daemon import TABLE, World, await_equal, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.servers import Server
from tests.fixtures.wait import until


@pytest.fixture
def source(node_factory: NodeFactory) -> Node:
    return node_factory("source", schema=TABLE)


@pytest.fixture
def target(node_factory: NodeFactory) -> Node:
    return node_factory("target", schema=TABLE)


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, source: Node, target: Node) -> World:
    """A sync `alpha` from source to target."""
    made = World(program, tmp_path, catalog_node)
    made.databases(source.database, target.database)
    made.sync("alpha", "source", "target")
    return made


def test_start_says_that_it_runs_and_stop_that_it_does_not(world: World, source: Node, target: Node) -> None:
    source.execute("insert into t select i, 'v' from generate_series(1, 100) i")
    started = world("start").ok()
    pid = world.master()
    assert started.out == f"Started the daemon (pid {pid}).\n"
    assert world("start").ok().out == f"The daemon is already running (pid {pid}).\n"
    await_equal(source, target)
    assert world("stop").ok().out == f"Stopped the daemon (pid {pid}).\n"
    assert world.alone(), "stop returns when the children are gone too"
    assert world("stop").ok().out == "The daemon is not running.\n"
    assert world.links("alpha")["target"]["state"] == "stopped"


def test_restart_starts_another(world: World) -> None:
    world("start").ok()
    first = world.master()
    world("restart").ok()
    second = world.master()
    assert second and second != first
    world("stop").ok()
    assert world("restart").ok().out.startswith("The daemon is not running.\nStarted the daemon")


def test_a_daemon_that_cannot_start_says_why(world: World) -> None:
    text = world.config.read_text()
    world.config.write_text(re.sub(r'port = "\d+"', 'port = "1"', text))
    result = world("start").exits(4)
    assert "does not answer" in result.err and result.err.count("\n") == 1
    world.config.write_text(text.replace('log_file = "log/', 'log_file = "replicator.toml/'))
    assert "Correct log_file" in world("start").exits(2).err
    assert world.alone()


def test_another_daemon_of_the_same_install_is_refused(world: World, tmp_path: Path) -> None:
    world("start").ok()
    other = tmp_path / "other.toml"
    other.write_text(world.config.read_text().replace('"run"', '"other_run"'))
    result = world("--config", other, "start").exits(1)
    assert "another master runs this install" in result.err
    assert world.status()["daemon"] == {"running": True, "pid": world.master()}


def test_started_twice_at_once_there_is_one_and_both_starts_say_so(
    world: World, program: Program, tmp_path: Path
) -> None:
    logs = [tmp_path / "first.out", tmp_path / "second.out"]
    starts = [program.start("replicator", "start", log=log) for log in logs]
    assert [start.wait(30) for start in starts] == [0, 0]
    said = sorted(log.read_text() for log in logs)
    pid = world.master()
    assert said == [f"Started the daemon (pid {pid}).\n", f"The daemon is already running (pid {pid}).\n"]


def test_ps_shows_who_does_what(world: World, source: Node, target: Node) -> None:
    for node in (source, target):
        node.execute("create table u (id int primary key, v text)")
    world.sync("gamma", "source", "target", type=SyncType.SWAP, tables=["u"])
    world("start").ok()
    titles = (
        'pgherd master: install "pgherd", syncs: alpha, gamma',
        'pgherd controller: sync "alpha" (pushdelta) source -> target',
        'pgherd controller: sync "gamma" (swap) source <-> target',
    )

    def shown() -> bool:
        listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
        return all(title in [line.strip() for line in listed.splitlines()] for title in titles)

    until(shown, 10, "ps shows the titles")


def test_a_killed_master_leaves_nobody_and_can_be_started_at_once(world: World, source: Node, target: Node) -> None:
    for number in range(5):
        world("start").ok()
        until(world.controllers, 5, "the controller runs")
        source.execute("insert into t values (%s, 'x')", [number])
        world.kill(world.master())
        until(world.alone, 2, "the children have left by themselves")
        assert world.status()["daemon"] == {"running": False, "pid": None}
    world("start").ok()
    until(world.controllers, 5, "the controller runs")
    await_equal(source, target)
    assert len(world.controllers()) == 1


def test_a_killed_controller_is_started_again(world: World, source: Node, target: Node) -> None:
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    first = world.controllers()["alpha"]
    world.kill(first)
    source.execute("insert into t values (1, 'x')")
    await_equal(source, target)
    assert world.controllers()["alpha"] != first
    assert 'the controller of sync "alpha" ended (signal 9)' in world.log()


def test_stop_interrupts_a_long_copy_within_seconds(world: World, source: Node, target: Node) -> None:
    source.execute("insert into t select i, repeat('x', 1000) from generate_series(1, 300000) i")
    world("start").ok()
    world.await_state("alpha", "target", "copying")
    world("stop", "--timeout", 5).ok()
    assert world.alone()


def test_stop_does_not_wait_for_a_statement_that_hangs(world: World, source: Node, target: Node) -> None:
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    with target.connect() as blocker:
        blocker.autocommit = False
        blocker.execute("lock table t")
        source.execute("insert into t values (1, 'x')")
        until(lambda: world.links("alpha")["target"]["state"] != "idle", 10, "it meets the lock")
        world("stop", "--timeout", 8).ok()
        assert world.alone()
    assert rows(target) == []


def test_a_daemon_in_the_foreground_logs_to_the_terminal_and_ends_with_the_signal(
    world: World, program: Program, tmp_path: Path
) -> None:
    process = program.start("replicator", "start", "--foreground")
    until(lambda: world.status()["daemon"]["running"], 10, "it runs")
    world.await_state("alpha", "target", "idle")
    process.terminate()
    assert process.wait(10) == 0
    assert "alpha: source -> target: begins" in (tmp_path / "replicator.out").read_text()
    until(world.alone, 2, "nobody is left")


def test_the_log_of_one_sync(world: World) -> None:
    assert "there is no log yet" in world("log").exits(1).err
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    lines = world("log", "-n", 5, "alpha").ok().out.splitlines()
    assert any(" alpha: source -> target: begins" in line for line in lines)
    assert not any(" master: begins" in line for line in lines)
    assert any(" master: begins" in line for line in world("log").ok().out.splitlines())


def test_an_idle_daemon_takes_next_to_no_time(world: World) -> None:
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    pids = [pid for pid in (world.master(), world.controllers()["alpha"]) if pid]
    before = [world.processor_seconds(pid) for pid in pids]
    ended = time.monotonic() + 5
    until(lambda: time.monotonic() > ended, 6, "five seconds are over", every=0.5)
    spent = [world.processor_seconds(pid) - begun for pid, begun in zip(pids, before, strict=True)]
    assert sum(spent) < 0.25, f"{spent} seconds of five"


def test_the_memory_of_a_controller_stays_flat(world: World, source: Node, target: Node) -> None:
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    pid = world.controllers()["alpha"]
    source.execute("insert into t select i, 'v' from generate_series(1, 1000) i")
    await_equal(source, target)
    before = processes.resident_bytes(pid)
    for _ in range(100):
        source.execute("update t set v = v || 'x' where id <= 500")
    await_equal(source, target, 30)
    grown = processes.resident_bytes(pid) - before
    assert grown < 8 * 1024 * 1024, f"{grown} bytes more after 50,000 rows"


def test_the_catalog_server_may_go_and_come_back(
    program: Program, tmp_path: Path, private_server: Callable[..., Server], source: Node, target: Node
) -> None:
    server = private_server()
    catalog = NodeFactory(server)("catalog")
    world = World(program, tmp_path, catalog)
    world.databases(source.database, target.database)
    world.sync("alpha", "source", "target")
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    before = (world.master(), world.controllers())
    server.stop("immediate")
    source.execute("insert into t values (1, 'while it is away')")
    await_equal(source, target)
    assert "does not answer" in world("status").exits(4).err
    until(lambda: "go on without the catalog" in world.log(), 5, "the log says so")
    server.start()
    world.await_state("alpha", "target", "idle", 2.5)
    assert (world.master(), world.controllers()) == before
    run = until(lambda: world.links("alpha")["target"]["last_run"], 5, "what was done meanwhile is told")
    assert run["inserted"] == 1
    assert "another controller" not in world.log()

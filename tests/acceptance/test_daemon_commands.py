"""Commands on running syncs: what they do, what they say, and that they say nothing that did not happen."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from replicator.catalog import Catalog
from replicator.model import OneTimeCopy, SyncType, TableName
from tests.fixtures.cli import Program
from tests.fixtures.daemon import TABLE, World, await_equal, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until


@pytest.fixture
def source(node_factory: NodeFactory) -> Node:
    return node_factory("source", schema=TABLE)


@pytest.fixture
def target(node_factory: NodeFactory) -> Node:
    return node_factory("target", schema=TABLE)


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, source: Node, target: Node) -> World:
    """Two databases and no sync."""
    made = World(program, tmp_path, catalog_node)
    made.databases(source.database, target.database)
    return made


def test_kick_waits_until_it_is_done(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target", autokick=False)
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    source.execute("insert into t values (1, 'x')")
    result = world("kick", "alpha", "--wait", 20).ok()
    assert result.out.startswith("Kicked sync alpha.\nDone in ")
    assert rows(target) == [(1, "x")]
    source.execute("insert into t values (2, 'x')")
    world("kick", "--wait", "alpha").ok()
    assert rows(target) == [(1, "x"), (2, "x")]
    source.execute("insert into t values (3, 'x')")
    assert world("kick", "alpha").ok().out == "Kicked sync alpha.\n"
    await_equal(source, target)


def test_kick_refuses_what_would_not_run(world: World) -> None:
    world.sync("alpha", "source", "target")
    assert "daemon is not running" in world("kick", "alpha").exits(1).err
    world("start").ok()
    wrong = world("kick", "alpha", "beta", "gamma").exits(2)
    assert wrong.err.count("\n") == 2 and "'beta'; known: alpha" in wrong.err
    world("pause", "alpha").ok()
    assert "sync alpha is paused" in world("kick", "alpha").exits(2).err


def test_kick_says_why_it_failed_and_when_time_is_over(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    with target.connect() as blocker:
        blocker.autocommit = False
        blocker.execute("lock table t")
        source.execute("insert into t values (1, 'x')")
        late = world("kick", "alpha", "--wait", 1).exits(1)
        assert "not done within 1 s: alpha: source -> target" in late.err
    target.execute("alter table t rename to elsewhere")
    source.execute("insert into t values (2, 'x')")
    failed = world("kick", "alpha", "--wait", 20).exits(1)
    assert "public.t: the table is missing on target" in failed.err


def test_a_paused_sync_rests_over_a_restart_and_a_resumed_one_catches_up(
    world: World, source: Node, target: Node
) -> None:
    world.sync("alpha", "source", "target")
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    assert world("pause", "alpha").ok().out == "Paused sync alpha.\n"
    assert world.links("alpha")["target"]["state"] == "paused"
    until(lambda: not world.controllers(), 5, "its controller has left")
    source.execute("insert into t values (1, 'x')")
    assert world("pause", "alpha").ok().out == "Sync alpha is paused already.\n"
    world("restart").ok()
    until(lambda: "syncs: none" in world.log(), 5, "the new master has looked")
    assert (rows(target), world.controllers()) == ([], {})
    assert world("resume", "alpha").ok().out == "Resumed sync alpha.\n"
    await_equal(source, target)
    assert world("resume", "alpha").ok().out == "Sync alpha was not paused.\n"


def test_a_resumed_sync_has_the_controller_that_was_in_reserve(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    assert not world.reserve()
    world("pause", "alpha").ok()
    reserve = until(world.reserve, 10, "one is in reserve")
    source.execute("insert into t values (1, 'x')")
    world("resume", "alpha").ok()
    await_equal(source, target)
    assert world.controllers() == {"alpha": reserve}
    world("pause", "alpha").ok()
    until(lambda: not world.controllers(), 5, "it leaves as any other")
    world("stop").ok()
    assert world.alone()


def test_pause_and_resume_without_a_daemon_say_what_they_did(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    assert "stays off when the daemon, which is not running, is started" in world("pause", "alpha").ok().out
    assert world.links("alpha")["target"]["state"] == "paused"
    assert "runs when the daemon, which is not running, is started" in world("resume", "alpha").ok().out
    world("start").ok()
    source.execute("insert into t values (1, 'x')")
    await_equal(source, target)


def test_a_sync_that_is_added_starts_and_one_that_is_removed_ends(world: World, source: Node, target: Node) -> None:
    world("start").ok()
    source.execute("insert into t values (1, 'x')")
    world.sync("alpha", "source", "target")
    await_equal(source, target)
    world.change(lambda catalog: catalog.remove_sync("alpha"))
    until(lambda: not world.controllers(), 5, "its controller has left")


def test_a_table_that_joins_the_herd_is_copied_and_followed(world: World, source: Node, target: Node) -> None:
    for node in (source, target):
        node.execute("create table u (id int primary key, v text)")
    source.execute("insert into u select i, 'v' from generate_series(1, 1000) i")
    world.sync("alpha", "source", "target")
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    before = world.controllers()

    def add(catalog: Catalog) -> None:
        herd = catalog.topology().herds["alpha_herd"]
        catalog.update_herd(replace(herd, tables=(*herd.tables, TableName("public", "u"))))

    world.change(add)
    await_equal(source, target, table="u")
    source.execute("insert into u values (0, 'later')")
    await_equal(source, target, table="u")
    assert world.controllers() == before, "the process stays"


def test_a_copy_ordered_once_is_made_once(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    world("start").ok()
    source.execute("insert into t values (1, 'right')")
    await_equal(source, target)
    target.execute("update t set v = 'wrong'; insert into t values (2, 'too many')")

    def order(catalog: Catalog) -> None:
        catalog.update_sync(replace(catalog.topology().syncs["alpha"], onetimecopy=OneTimeCopy.ALWAYS))

    world.change(order)
    await_equal(source, target)
    with Catalog.open(world.connector) as catalog:
        declared = catalog.topology
        until(lambda: declared().syncs["alpha"].onetimecopy is OneTimeCopy.EMPTY, 5, "the order is taken back")


def test_checktime_runs_a_sync_that_nobody_kicks(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target", autokick=False, checktime=timedelta(seconds=1))
    world("start").ok()
    for number in range(3):
        source.execute("insert into t values (%s, 'x')", [number])
        await_equal(source, target, 4)


def test_a_fullcopy_under_constant_writes_does_not_run_back_to_back(world: World, source: Node, target: Node) -> None:
    world.sync("beta", "source", "target", type=SyncType.FULLCOPY)
    world("start").ok()
    world.await_state("beta", "target", "idle")
    deadline, number = time.monotonic() + 4, 0
    while time.monotonic() < deadline:
        number += 1
        source.execute("insert into t values (%s, 'x')", [number])
    await_equal(source, target)
    with Catalog.open(world.connector) as catalog:
        until(lambda: sum(run.counts.inserted for run in catalog.runs("beta")) >= number, 5, "all is told")
        (total,) = catalog.totals("beta")
    assert total.runs <= 20, "at most a run and a rest of a quarter of a second, over and over"


def test_status_of_one_sync_and_as_json(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    assert "the daemon is not running" in world("status").ok().out
    world("start").ok()
    source.execute("insert into t select i, 'x' from generate_series(1, 9) i")
    await_equal(source, target)
    until(lambda: world.links("alpha")["target"]["total"]["inserted"] == 9, 5, "the run is told")
    until(lambda: world.links("alpha")["target"]["lag"]["rows"] == 0, 5, "no lag")
    found = world("status", "--json").ok().json()
    (sync,) = found["syncs"]
    (link,) = sync["links"]
    assert found["daemon"] == {"running": True, "pid": world.master()}
    assert (sync["name"], sync["type"], sync["source"], sync["targets"]) == ("alpha", "pushdelta", "source", ["target"])
    assert link["lag"] == {"rows": 0, "more": False, "seconds": 0.0, "problem": ""}
    assert (link["parked"], link["last_bad"], link["last_error"]) == (0, None, None)
    assert link["last_good"] and link["last_run"]["finished"]
    details = world("status", "alpha").ok().out
    assert "alpha_herd on source" in details and "9/0/0 inserted/updated/deleted" in details
    assert "no sync is called 'beta'" in world("status", "beta").exits(2).err
    assert "exclude each other" in world("status", "--watch", "--json").exits(2).err


def test_lag_is_counted_while_a_sync_rests(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    world("start").ok()
    source.execute("insert into t values (0, 'x')")
    await_equal(source, target)
    world("pause", "alpha").ok()
    source.execute("insert into t select i, 'x' from generate_series(1, 2500) i")
    lag = world.links("alpha")["target"]["lag"]
    assert (lag["rows"], lag["more"]) == (2500, False)
    assert 0 < lag["seconds"] < 60
    with source.connect() as late:
        late.autocommit = False
        late.execute("insert into t values (-1, 'not committed')")
        assert world.links("alpha")["target"]["lag"]["rows"] == 2500


def test_watch_shows_changes_as_they_come(world: World, program: Program, tmp_path: Path) -> None:
    world.sync("alpha", "source", "target")
    watching = program.start("replicator", "status", "--watch", log=tmp_path / "watch.out")

    def shown(text: str) -> bool:
        return text in (tmp_path / "watch.out").read_text()

    until(lambda: shown("not running"), 10, "the daemon is shown as down")
    world("start").ok()
    until(lambda: shown("idle"), 10, "the sync is shown as idle")
    watching.terminate()
    watching.wait(10)


def test_json_is_json_when_nothing_is_declared(world: World) -> None:
    assert json.loads(world("status", "--json").ok().out)["syncs"] == []
    assert "No syncs are declared." in world("status").ok().out

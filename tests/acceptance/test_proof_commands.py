"""verify, parked and purge as their users meet them: what they print, their exit codes, and the daemon's own purge."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from replicator.model import SyncType
from tests.fixtures.cli import Program
from tests.fixtures.daemon import TABLE, World, await_equal, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.servers import Server
from tests.fixtures.wait import until

LOG = "select count(*) from pgherd.delta_public_t"


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


def damage(node: Node, query: str) -> None:
    with node.connect() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(query)


def test_verify_says_equal_then_behind_then_which_rows_differ(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    source.execute("insert into t select i, 'value ' || i from generate_series(1, 100) i")
    world("start").ok()
    await_equal(source, target)
    equal = world("verify", "alpha").ok().out.splitlines()
    assert equal[0].split() == ["Sync", "Table", "Database", "Rows", "Digest", "Result"]
    one, other = (line.split() for line in equal[1:])
    assert (one[:4], other[:2], other[-1]) == (["alpha", "public.t", "source", "100"], ["target", "100"], "equal")
    assert one[4] == other[2]
    world("stop").ok()
    source.execute("update t set v = 'new' where id <= 3")
    behind = world("verify").exits(3).out
    assert "behind by 3 rows" in behind
    assert "The daemon is not running" in behind
    world("start").ok()
    world("kick", "alpha", "--wait", 20).ok()
    damage(target, "update t set v = null where id = 7; delete from t where id = 8; insert into t values (900, '')")
    different = world("verify", "--limit-differences", 2).exits(3).out
    assert "3 rows differ" in different
    assert "alpha: public.t on source and target:" in different
    assert different.count("id=") == 2
    assert "and 1 row more" in different
    different = world("verify").exits(3).out
    for line in ("id=7: v: value 7 | NULL", "id=8: missing on target", "id=900: only on target"):
        assert f"  {line}\n" in different


def test_verify_as_json(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    source.execute("insert into t values (1, 'x'), (2, 'y')")
    world("start").ok()
    await_equal(source, target)
    damage(target, "update t set v = 'z' where id = 2")
    (found,) = world("verify", "--json").exits(3).json()
    assert found["nodes"]["source"]["rows"] == found["nodes"]["target"]["rows"] == 2
    assert len(found["nodes"]["source"]["digest"]) == 32
    assert (found["verdict"], found["differences"], found["behind"]) == ("differs", 1, 0)
    (row,) = found["listed"]
    assert row["key"] == {"id": "2"}
    assert row["columns"] == [{"column": "v", "source": "y", "target": "z"}]


def test_verify_compares_what_was_named(world: World, source: Node) -> None:
    world.sync("alpha", "source", "target")
    unknown = world("verify", "--table", "nonsense").exits(2).err
    assert "--table public.nonsense: no such table in these syncs; known: public.t" in unknown
    assert "not a table name" in world("verify", "--table", "a.b.c").exits(2).err
    assert "no sync is called 'beta'" in world("verify", "beta").exits(2).err
    source.execute("insert into t values (1, '')")
    assert "behind by 1 row; it has not been copied yet" in world("verify", "--table", "t").exits(3).out


def test_verify_of_a_server_that_does_not_answer(world: World, private_server: object, source: Node) -> None:
    lost: Server = private_server()  # type: ignore[operator]
    world.databases(lost.database("lost", "lost", id=3))
    lost.create_database("lost")
    lost.execute(TABLE, dbname="lost")
    world.sync("alpha", "source", "target", "lost")
    world("start").ok()
    world.await_state("alpha", "lost", "idle")
    world("verify").ok()
    lost.stop("immediate")
    result = world("verify").exits(4)
    assert "not compared: lost" in result.out
    assert "does not answer" in result.out


def test_verify_is_interrupted(world: World, source: Node, tmp_path: Path) -> None:
    world.sync("alpha", "source", "target")
    with source.connect() as holder, holder.transaction():
        holder.execute("lock table t in access exclusive mode")
        command = subprocess.Popen(
            ["replicator", "--config", world.config, "verify"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name ~ 'verify'"
        until(lambda: source.value(waiting), 20, "the comparison waits")
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=20)
    assert command.returncode == 130
    assert err == "replicator: the comparison was interrupted.\n"


def test_parked_rows_are_listed_shown_tried_again_and_dropped(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    target.execute("alter table t add constraint short check (length(v) < 5)")
    world("start").ok()
    assert world("parked", "list").ok().out == "Nothing is parked.\n"
    source.execute("insert into t values (1, 'much too long'), (2, 'fine'), (3, 'longer')")
    until(lambda: rows(target) == [(2, "fine")], 10, "the row that fits arrives")
    listed = sorted(world("parked", "list", "alpha", "--json").ok().json(), key=lambda row: str(row["key"]))
    assert [(row["key"], row["sqlstate"], row["retry"]) for row in listed] == [
        ({"id": 1}, "23514", False),
        ({"id": 3}, "23514", False),
    ]
    first, second = (row["name"] for row in listed)
    assert first.startswith("target:")
    assert "short" in world("parked", "list").ok().out
    shown = world("parked", "show", first).ok().out
    assert 'v = "much too long"' in shown
    assert "2 rows differ, 2 parked" in world("verify").exits(3).out
    target.execute("alter table t drop constraint short; alter table t add check (length(v) > 3)")
    assert first in world("parked", "retry", first).ok().out
    until(lambda: rows(target) == [(1, "much too long"), (2, "fine")], 10, "the row is tried again")
    world("parked", "drop", "--all-of", "alpha").ok()
    assert world("parked", "list").ok().out == "Nothing is parked.\n"
    assert "id=3: missing on target" in world("verify").exits(3).out
    assert second in world("parked", "drop", second).exits(2).err


def test_parked_refuses_what_it_cannot_understand(world: World) -> None:
    world.sync("alpha", "source", "target")
    assert "does not name a parked key" in world("parked", "retry", "17").exits(2).err
    assert "there is no database 'nowhere'" in world("parked", "show", "nowhere:1").exits(2).err
    assert "not parked (any more)" in world("parked", "drop", "target:1").exits(2).err
    assert "--all-of SYNC" in world("parked", "drop").exits(2).err
    assert "nothing is parked of sync alpha" in world("parked", "retry", "--all-of", "alpha").exits(2).err


def test_purge_shows_what_is_kept_and_for_whom(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    world.sync("gamma", "source", "target", type=SyncType.SWAP, tables=("t",))
    assert world("purge").ok().out == "There are no change logs.\n"
    told = world("purge", "--history", "7").ok().out
    assert told.endswith("Runs moved to the freezer: 0. Days dropped from it: 0.\n")


def test_the_daemon_purges_what_has_arrived(world: World, source: Node, target: Node) -> None:
    world.sync("alpha", "source", "target")
    world("start").ok()
    world.await_state("alpha", "target", "idle")
    source.execute("insert into t select i, '' from generate_series(1, 1000) i")
    await_equal(source, target)
    until(lambda: source.value(LOG) == 0, 30, "the log is empty")
    world("pause", "alpha").ok()
    source.execute("insert into t values (2000, '')")
    report = world("purge").ok().out.splitlines()
    assert report[0].split() == ["Database", "Table", "Log", "Removed", "Kept", "Oldest", "Kept", "for"]
    assert report[1].endswith("alpha: source -> target")
    (log,) = world("purge", "--json").ok().json()["logs"]
    assert (log["node"], log["kind"], log["kept"], log["deleted"]) == ("source", "rows", 1, 0)

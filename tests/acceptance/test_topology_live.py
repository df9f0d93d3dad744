"""Changing what is declared while the daemon runs, as an operator does it: nothing is restarted, nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.cli import Program
from tests.fixtures.daemon import World, await_equal, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until

SCHEMA = """
create table t (id int primary key, v text);
create table u (id int primary key, v text);
"""


@pytest.fixture
def source(node_factory: NodeFactory) -> Node:
    return node_factory("source", schema=SCHEMA)


@pytest.fixture
def target(node_factory: NodeFactory) -> Node:
    return node_factory("target", schema=SCHEMA)


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, source: Node, target: Node) -> World:
    """A sync `alpha` of table t, declared by the commands, with the daemon running."""
    made = World(program, tmp_path, catalog_node)
    for node in (source, target):
        place = node.database
        where = [f"dbname={place.dbname}", f"host={place.host}", f"port={place.port}", f"user={place.user}"]
        made("add", "db", node.name, *where).ok()
    made("add", "herd", "alpha", "db=source", "t").ok()
    made("add", "sync", "alpha", "type=pushdelta", "source=alpha", "targetdb=target").ok()
    source.execute("insert into t select i, 'before' from generate_series(1, 100) i")
    source.execute("insert into u select i, 'before' from generate_series(1, 100) i")
    made("start").ok()
    await_equal(source, target)
    return made


def logged(node: Node) -> set[str]:
    """The tables that have triggers of ours."""
    return {
        table
        for (table,) in node.execute(
            "select distinct tgrelid::regclass::text from pg_trigger where not tgisinternal and tgname like 'pgherd%%'"
        )
    }


def test_a_table_is_added_and_removed_live(world: World, source: Node, target: Node) -> None:
    controller = world.controllers()["alpha"]
    world("add", "table", "u", "herd=alpha").ok()
    await_equal(source, target, table="u")
    source.execute("insert into u values (101, 'after'); insert into t values (101, 'after')")
    await_equal(source, target, table="u")
    await_equal(source, target)
    assert logged(source) == {"t", "u"}
    world("remove", "table", "u").ok()
    assert logged(source) == {"t"}
    source.execute("insert into u values (102, 'unseen'); insert into t values (102, 'seen')")
    await_equal(source, target)
    assert (102, "unseen") not in rows(target, "u")
    assert logged(source) == {"t"}, "no controller has put the trigger back"
    assert world.controllers()["alpha"] == controller


def test_a_table_that_comes_back_is_copied_anew(world: World, source: Node, target: Node) -> None:
    world("add", "table", "u", "herd=alpha").ok()
    await_equal(source, target, table="u")
    world("remove", "table", "u").ok()
    source.execute("update u set v = 'meanwhile' where id <= 10; delete from u where id > 90")
    world("add", "table", "u", "herd=alpha").ok()
    await_equal(source, target, table="u")


def test_a_removed_sync_is_gone_with_all_that_it_had(world: World, source: Node, target: Node) -> None:
    result = world("remove", "sync", "alpha").ok()
    assert "still there" not in result.err
    until(lambda: not world.controllers(), 10, "its controller has left")
    for node in (source, target):
        assert logged(node) == set()
        assert node.value("select to_regnamespace('pgherd') is null")
    assert world("list", "syncs").ok().out == "There are no syncs in the catalog.\n"
    source.execute("insert into t values (200, 'unseen')")
    world("add", "sync", "alpha", "type=pushdelta", "source=alpha", "targetdb=target").ok()
    await_equal(source, target)


def test_a_target_is_added_live(world: World, source: Node, node_factory: NodeFactory) -> None:
    late = node_factory("late", schema=SCHEMA)
    place = late.database
    where = [f"dbname={place.dbname}", f"host={place.host}", f"port={place.port}", f"user={place.user}"]
    world("add", "db", "late", *where).ok()
    world("update", "sync", "alpha", "--target", "target,late").ok()
    await_equal(source, late)
    world("update", "sync", "alpha", "--target", "late").ok()
    source.execute("insert into t values (300, 'late only')")
    await_equal(source, late)


def test_a_push_becomes_a_copy_and_a_swap(world: World, source: Node, target: Node) -> None:
    world("update", "sync", "alpha", "type=fullcopy").ok()
    source.execute("insert into t values (400, 'copied')")
    await_equal(source, target)
    world("update", "sync", "alpha", "type=swap").ok()
    for end in ("source", "target"):
        world.await_state("alpha", end, "idle", seconds=20)
    assert logged(source) == logged(target) == {"t"}
    source.execute("insert into t values (401, 'from the source')")
    await_equal(source, target)
    target.execute("insert into t values (402, 'from the target')")
    until(lambda: (402, "from the target") in rows(source), 10, "it came back")
    await_equal(source, target)


def test_a_table_changes_live(world: World, source: Node, target: Node) -> None:
    def says(text: str) -> bool:
        return text in world("status").ok().out

    source.execute("alter table t add column x int default 1; update t set x = 2 where id = 1")
    until(lambda: says('column "x" is missing on target, it is left out'), 20, "status says what is left out")
    source.execute("update t set v = 'narrow', x = 3 where id = 2")
    until(lambda: (2, "narrow") in rows(target), 10, "rows go on flowing")
    world("update", "sync", "alpha", "--ddl", "newcol").ok()
    await_equal(source, target, seconds=20)
    assert (2, "narrow", 3) in rows(target)
    target.execute("alter table t alter v type varchar(20)")
    source.execute("update t set v = 'late' where id = 3")
    words = 'column "v" is text on source and character varying(20) on target'
    until(lambda: says(f"public.t is parked: {words}"), 20, "status names the difference")
    (link,) = world("status", "--json").json()["syncs"][0]["links"]
    assert link["tables"] == [{"table": "public.t", "parked": True, "why": words}]
    assert f"public.t is parked: {words}" in world.log()
    source.execute("alter table t alter v type varchar(20)")
    await_equal(source, target, seconds=20)
    assert (3, "late", 1) in rows(target)
    assert world("status", "--json").json()["syncs"][0]["links"][0]["tables"] == []
    world("verify", "alpha").ok()

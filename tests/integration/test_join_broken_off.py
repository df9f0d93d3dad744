"""Masters whose first meeting is cut short meet again, and nothing of what was settled or written meanwhile is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from replicator import failpoint
from replicator.errors import ConnectionLost
from replicator.model import SyncType
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory

TABLES = "create table t (id int primary key, v text); create table u (id int primary key, v text)"

Cut = Callable[[str], None]


@pytest.fixture
def cut() -> Iterator[Cut]:
    """Lets the connection be lost at a failpoint, once."""
    yield lambda name: failpoint.arm({failpoint.VARIABLE: f"{name}:lose"})
    failpoint.arm({})


@pytest.fixture
def masters(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(f"m{number}", schema=TABLES) for number in (1, 2, 3)]


def break_off(made: Lab, cut: Cut, name: str, ends: tuple[str, str]) -> None:
    (runner,) = (each for each in made.sync() if (each.link.source.name, each.link.target.name) == ends)
    cut(name)
    with pytest.raises(ConnectionLost, match="failpoint"):
        runner.prepare()
    runner.close()


def assert_equal(nodes: list[Node]) -> None:
    for table in ("t", "u"):
        assert all(rows(node, table) == rows(nodes[0], table) for node in nodes[1:])


@pytest.mark.parametrize("name", ["join.before-way-back", "copy.before-end", "copy.in-range"])
def test_an_empty_source_is_filled_all_the_same(masters: list[Node], lab: Build, cut: Cut, name: str) -> None:
    nodes = masters[:2]
    nodes[1].execute("insert into t select i, 'there' from generate_series(1, 10) i")
    made = lab(nodes, SyncType.SWAP, ("t", "u"))
    break_off(made, cut, name, ("m1", "m2"))
    nodes[1].execute("insert into t values (11, 'there, later')")
    made.settle()
    assert_equal(nodes)
    assert len(rows(nodes[0])) == 11


@pytest.mark.parametrize("hit", [1, 2])
def test_a_table_that_was_equal_everywhere_flows_between_the_others(
    masters: list[Node], lab: Build, cut: Cut, hit: int
) -> None:
    made = lab(masters, SyncType.SWAP, ("t", "u"))
    first, second, *_ = made.sync()
    first.prepare()
    break_off(made, cut, f"join.after-floor:{hit}", ("m1", "m3"))
    assert second.link.target.name == "m3"
    made.settle()
    masters[1].execute("insert into t values (1, 'from the second to the third')")
    made.settle()
    assert_equal(masters)
    assert len(rows(masters[2])) == 1


def test_what_was_equal_may_be_written_while_the_rest_is_copied(masters: list[Node], lab: Build, cut: Cut) -> None:
    nodes = masters[:2]
    nodes[0].execute("insert into t select i, 'here' from generate_series(1, 10) i")
    made = lab(nodes, SyncType.SWAP, ("t", "u"))
    break_off(made, cut, "copy.in-range", ("m1", "m2"))
    for number, node in enumerate(nodes, 1):
        node.execute("insert into u values (%s, 'written meanwhile')", [number])
    made.settle()
    assert_equal(nodes)
    assert len(rows(nodes[0], "u")) == 2


@pytest.mark.parametrize("name", ["copy.in-range", "copy.before-end"])
def test_nothing_is_counted_twice_when_a_copy_is_taken_up_again(
    node_factory: NodeFactory, lab: Build, cut: Cut, name: str
) -> None:
    schema = "create table c (id int primary key, n bigint not null default 0); create table h (note text)"
    masters = [node_factory(f"m{number}", schema=schema) for number in (1, 2, 3)]
    masters[0].execute("insert into c values (1); insert into h values ('before')")
    made = lab(masters, SyncType.SWAP, ("c", "h"), counters=("n",))
    there_and_back = [each for each in made.sync() if {each.link.source.name, each.link.target.name} == {"m1", "m2"}]
    for _ in range(2):
        for runner in there_and_back:
            runner.run()
    break_off(made, cut, name, ("m1", "m3"))
    for node in masters[:2]:
        node.execute("update c set n = n + 10; insert into h values ('meanwhile')")
    for runner in there_and_back:
        runner.run()
    made.settle()
    for node in masters:
        assert rows(node, "c") == [("(1,20)",)]
        assert rows(node, "h") == [("(before)",), ("(meanwhile)",), ("(meanwhile)",)]

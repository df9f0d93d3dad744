"""A second unique key collides: one of the two rows stays, the same on all masters, and the other is in the ledger."""

from __future__ import annotations

from itertools import combinations

import pytest

from replicator import repair
from replicator.ledger import Filters, find, simulate
from replicator.model import SyncType
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory

TABLE = "create table t (id int primary key, email text unique, v text)"


@pytest.fixture
def nodes(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(f"m{n}", schema=TABLE) for n in (1, 2, 3)]


def swap(lab: Build, nodes: list[Node], **options: object) -> Lab:
    nodes[0].execute("insert into t values (1, 'a@x', 'a'), (2, 'b@x', 'b'), (3, 'c@x', 'c')")
    made = lab(nodes, SyncType.SWAP, **options)
    made.settle()
    return made


def same(made: Lab, nodes: list[Node]) -> list[str]:
    made.settle()
    for one, other in combinations(nodes, 2):
        assert rows(one) == rows(other)
    assert not repair.find(made.topology, made.install, made.connector).parked
    return [text for (text,) in rows(nodes[0])]


@pytest.mark.parametrize(("strategy", "kept"), [("latest", "(11,new@x,later)"), ("source", "(10,new@x,sooner)")])
@pytest.mark.parametrize("masters", [2, 3])
def test_two_rows_with_one_value(nodes: list[Node], lab: Build, strategy: str, kept: str, masters: int) -> None:
    nodes = nodes[:masters]
    made = swap(lab, nodes, strategy=strategy)
    nodes[0].execute("insert into t values (10, 'new@x', 'sooner')")
    nodes[1].execute("insert into t values (11, 'new@x', 'later')")
    assert [row for row in same(made, nodes) if "new@x" in row] == [kept]
    found = find(made.topology, made.install, made.connector, Filters()).conflicts
    assert {conflict.kind for conflict in found} == {"insert/unique key"}


def test_a_changed_row_becomes_again_what_it_was(nodes: list[Node], lab: Build) -> None:
    made = swap(lab, nodes)
    nodes[0].execute("update t set email = 'new@x' where id = 1")
    nodes[1].execute("insert into t values (11, 'new@x', 'later')")
    found = same(made, nodes)
    assert [row for row in found if "new@x" in row] == ["(11,new@x,later)"]
    assert [row for row in found if row.startswith("(1,")] in (["(1,a@x,a)"], [])


def test_values_that_change_places_are_no_conflict(nodes: list[Node], lab: Build) -> None:
    made = swap(lab, nodes)
    nodes[0].execute(
        "update t set email = 't@x' where id = 1; update t set email = 'a@x' where id = 2;"
        " update t set email = 'b@x' where id = 1"
    )
    assert same(made, nodes)[:2] == ["(1,b@x,a)", "(2,a@x,b)"]
    assert not find(made.topology, made.install, made.connector, Filters()).conflicts


PICK = """
create function pick(incoming jsonb, local jsonb, info jsonb) returns jsonb language plpgsql as $$
begin
    if info ->> 'kind' <> 'unique key' then return to_jsonb('incoming'::text); end if;
    if incoming ->> 'v' = 'row' then return incoming; end if;
    return to_jsonb(case incoming ->> 'v' when 'mine' then 'local' when 'theirs' then 'incoming' end);
end $$
"""


@pytest.mark.parametrize(
    ("later", "kept"), [("mine", "(10,new@x,sooner)"), ("theirs", "(11,new@x,theirs)"), ("none", "(11,new@x,none)")]
)
def test_a_function_says_which_of_the_two_stays(nodes: list[Node], lab: Build, later: str, kept: str) -> None:
    """It is told the later one as the incoming one wherever they meet, so all nodes keep the same."""
    for node in nodes:
        node.execute(PICK)
    made = swap(lab, nodes, strategy="sql:pick")
    nodes[0].execute("insert into t values (10, 'new@x', 'sooner')")
    nodes[1].execute("insert into t values (11, 'new@x', %s)", [later])
    assert [row for row in same(made, nodes) if "new@x" in row] == [kept]
    assert simulated(made, "sql:pick") == set()
    assert simulated(made, "target") == ({"m2"} if kept.startswith("(10") else set())


def simulated(made: Lab, strategy: str) -> set[str]:
    told = simulate(made.topology, made.install, made.connector, strategy, Filters())
    assert not told.silent
    return {ending.word for _, ending in told.changes}


def test_a_row_is_no_answer_where_two_keys_collide(nodes: list[Node], lab: Build) -> None:
    for node in nodes:
        node.execute(PICK)
    made = swap(lab, nodes[:2], strategy="sql:pick")
    nodes[0].execute("insert into t values (10, 'new@x', 'sooner')")
    nodes[1].execute("insert into t values (11, 'new@x', 'row')")
    nodes[0].execute("insert into t values (12, 'flows', 'x')")
    made.settle()
    parked = repair.find(made.topology, made.install, made.connector).parked
    assert {row.key["id"] for row in parked} == {10, 11}
    assert all("it must say which one stays" in row.error for row in parked)
    assert nodes[1].value("select v from t where id = 12") == "x"

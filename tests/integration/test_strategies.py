"""Strategies on real masters: rows left alone, functions that decide and functions that fail, tables of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from replicator import repair, verify
from replicator.apply import resolver
from replicator.ledger import Filters, find
from replicator.model import SyncType, TableName
from replicator.postgres import Connector
from replicator.signals import Stop
from replicator.verify import TableComparison, Verdict
from tests.fixtures.lab import Build, Lab, ignore, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair

TABLE = "create table t (id int primary key, v text)"
JUDGE = """
create function judge(incoming jsonb, local jsonb, info jsonb) returns text language plpgsql as $$
begin
    if local ->> 'v' = 'boom' or incoming ->> 'v' = 'boom' then raise exception 'cannot tell'; end if;
    if local ->> 'v' = 'slow' or incoming ->> 'v' = 'slow' then perform pg_sleep(600); end if;
    if local ->> 'v' = 'odd' or incoming ->> 'v' = 'odd' then return 'perhaps'; end if;
    return case when incoming ->> 'v' > local ->> 'v' then 'incoming' else 'local' end;
end $$
"""
PYTHON = """
import time
def judge(incoming, local, info):
    values = [side and side["v"] for side in (incoming, local)]
    print("what a function prints is no answer")
    if "boom" in values:
        raise ValueError("cannot tell")
    if "slow" in values:
        time.sleep(600)
    if "odd" in values:
        return "perhaps"
    assert info["table"] == "public.t" and set(info["key"]) == {"id"}
    return "incoming" if values[0] > values[1] else "local"
"""


@pytest.fixture
def connector(connector: Connector) -> Connector:
    """One by whose configuration functions have half a second."""
    return replace(connector, config=replace(connector.config, function_timeout=0.5))


def swap(lab: Build, nodes: Sequence[Node], **options: object) -> Lab:
    for node in nodes:
        node.execute(TABLE)
    nodes[0].execute("insert into t select i, 'v' from generate_series(1, 6) i")
    made = lab(list(nodes), SyncType.SWAP, **options)
    made.settle()
    return made


def clash(nodes: Sequence[Node], key: int, *values: str) -> None:
    for node, value in zip(nodes, values, strict=False):
        node.execute("update t set v = %s where id = %s", [value, key])


def compared(made: Lab) -> list[TableComparison]:
    return verify.verify_sync(
        made.topology,
        made.install,
        made.topology.syncs["s"],
        made.connector,
        report=ignore,
        stop=Stop(),
        patience=5,
    )


@pytest.mark.parametrize("strategy", ["skip", "abort"])
def test_rows_left_alone_are_named_until_they_change_again(nodes: Pair, lab: Build, strategy: str) -> None:
    made = swap(lab, nodes, strategy=strategy)
    clash(nodes, 1, "a", "b")
    counts = made.settle()
    assert (counts.conflicts, counts.aborted) == (1, int(strategy == "abort"))
    assert [rows(node)[0] for node in nodes] == [("(1,a)",), ("(1,b)",)]
    (comparison,) = compared(made)
    assert (comparison.verdict, comparison.differences, comparison.left) == (Verdict.DIFFERS, 1, 1)
    assert [difference.left for difference in comparison.listed] == [True]
    (conflict,) = find(made.topology, made.install, made.connector, Filters()).conflicts
    assert conflict.rule == strategy
    nodes.target.execute("update t set v = 'together' where id = 1")
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    assert compared(made)[0].verdict is Verdict.EQUAL


def test_a_table_may_have_a_strategy_of_its_own(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute("create table other (id int primary key, v text)")
    nodes.source.execute("insert into other values (1, 'v')")
    own = ((TableName("public", "other"), "source"),)
    made = swap(lab, nodes, tables=("t", "other"), strategies=own)
    for node, value in zip(nodes, ("source", "target"), strict=True):
        node.execute(f"update t set v = '{value}' where id = 1; update other set v = '{value}'")
    made.settle()
    assert [rows(node)[0] for node in nodes] == [("(1,target)",)] * 2
    assert [rows(node, "other") for node in nodes] == [[("(1,source)",)]] * 2


@pytest.fixture
def python_judge(tmp_path: Path) -> str:
    place = tmp_path / "judges.py"
    place.write_text(PYTHON)
    return f"python:{place}:judge"


@pytest.mark.parametrize("language", ["sql", "python"])
def test_a_function_decides(node_factory: NodeFactory, lab: Build, language: str, python_judge: str) -> None:
    nodes = [node_factory(f"m{n}", schema=JUDGE) for n in range(3)]
    made = swap(lab, nodes, strategy="sql:judge" if language == "sql" else python_judge)
    clash(nodes, 1, "z", "a", "b")
    clash(nodes, 2, "c", "x", "d")
    made.settle()
    assert [rows(node)[:2] for node in nodes] == [[("(1,z)",), ("(2,x)",)]] * 3


@pytest.mark.parametrize("language", ["sql", "python"])
@pytest.mark.parametrize(
    ("value", "why"), [("boom", "cannot tell"), ("slow", "timeout|did not answer"), ("odd", "answered 'perhaps'")]
)
def test_a_function_that_fails_parks_the_row_alone(
    nodes: Pair, lab: Build, language: str, value: str, why: str, python_judge: str
) -> None:
    for node in nodes:
        node.execute(JUDGE)
    made = swap(lab, nodes, strategy="sql:judge" if language == "sql" else python_judge)
    clash(nodes, 1, value, "other")
    clash(nodes, 2, "b", "a")
    made.settle()
    assert [rows(node)[1] for node in nodes] == [("(2,b)",)] * 2
    found = repair.find(made.topology, made.install, made.connector).parked
    assert found
    assert {dict(parked.key)["id"] for parked in found} == {1}
    assert all(re.search(why, parked.error) for parked in found), found


@pytest.mark.parametrize("language", ["sql", "python"])
def test_a_function_that_never_answers_is_not_waited_for_row_after_row(
    nodes: Pair, lab: Build, language: str, python_judge: str
) -> None:
    for node in nodes:
        node.execute(JUDGE)
    made = swap(lab, nodes, strategy="sql:judge" if language == "sql" else python_judge)
    for node, value in zip(nodes, ("slow", "other"), strict=True):
        node.execute("update t set v = %s", [value])
    nodes.source.execute("insert into t values (7, 'flows')")
    made.sync()[0].run()
    assert nodes.target.value("select v from t where id = 7") == "flows"
    errors = [parked.error for parked in repair.find(made.topology, made.install, made.connector).parked]
    assert sum("not asked" in error for error in errors) == len(errors) - resolver.SILENCES > 0

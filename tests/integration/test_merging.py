"""Functions that make a third row of two: it travels to all masters, counters keep adding, bad rows are parked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from replicator import ledger, repair
from replicator.errors import ReplicatorError, UsageError
from replicator.ledger import Conflict, Filters
from replicator.model import SyncType
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair

TABLE = """
create table t (
    id int primary key, tags jsonb not null default '[]', v text, price numeric(30, 12), n int not null default 0,
    code varchar(5) check (code <> 'bad')
)
"""
FUNCTION = """
create function merge(incoming jsonb, local jsonb, info jsonb) returns {returns}
language plpgsql set search_path = public as $$
declare merged jsonb;
begin
    merged := coalesce(local, incoming) || jsonb_build_object('tags', (
        select coalesce(jsonb_agg(distinct tag order by tag), '[]')
        from jsonb_array_elements(coalesce(local -> 'tags', '[]') || coalesce(incoming -> 'tags', '[]')) tag
    ));
    {answer}
end $$
"""
FORMS = {
    "jsonb": FUNCTION.format(returns="jsonb", answer="return merged;"),
    "t": FUNCTION.format(returns="t", answer="return jsonb_populate_record(null::t, merged);"),
}
PYTHON = """
def merge(incoming, local, info):
    tags = {tag for side in (incoming, local) if side for tag in side["tags"]}
    return {**(local or incoming), "tags": sorted(tags), "n": 12345}

def some(incoming, local, info):
    return {"tags": ["merged"]}

def tags(incoming, local, info):
    return {"tags": sorted(incoming["tags"] + local["tags"])}

def no_opinion(incoming, local, info):
    return None

def bad(incoming, local, info):
    return {
        "check": {"code": "bad"}, "long": {"code": "much too long"}, "column": {"nonsense": 1}, "key": {"id": 77},
        "null": {"tags": None}, "type": {"price": "dear"}, "set": {"v": {1, 2}}, "number": 5,
    }[(local or incoming)["v"]]
"""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    place = tmp_path / "functions.py"
    place.write_text(PYTHON)
    return place


def swap(lab: Build, nodes: Sequence[Node], strategy: str, **options: object) -> Lab:
    nodes[0].execute("insert into t (id, v, price) select i, 'v', 0.123456789012 from generate_series(1, 6) i")
    made = lab(list(nodes), SyncType.SWAP, strategy=strategy, **options)
    made.settle()
    return made


def noted(made: Lab) -> list[Conflict]:
    """All conflicts, with images, oldest first."""
    found = ledger.find(made.topology, made.install, made.connector, Filters()).conflicts
    return [ledger.show(made.topology, made.install, made.connector, one.name) for one in reversed(found)]


def everywhere(nodes: Sequence[Node], query: str) -> object:
    values = [node.value(query) for node in nodes]
    assert all(value == values[0] for value in values), values
    assert all(rows(node) == rows(nodes[0]) for node in nodes)
    return values[0]


@pytest.mark.parametrize("form", ["jsonb", "t"])
@pytest.mark.pg("10,18")
def test_a_merged_row_travels_to_all(pair: Pair, lab: Build, form: str) -> None:
    for node in pair:
        node.execute(TABLE + ";" + FORMS[form])
    merges(swap(lab, pair, "sql:merge", counters=("n",)), pair)


def test_a_python_function_merges_too(nodes: Pair, lab: Build, functions: Path) -> None:
    for node in nodes:
        node.execute(TABLE)
    merges(swap(lab, nodes, f"python:{functions}:merge", counters=("n",)), nodes)


def merges(made: Lab, pair: Pair) -> None:
    pair.source.execute("""update t set tags = '["a", "c"]', n = n + 5 where id = 1""")
    pair.target.execute("""update t set tags = '["b"]', v = 'b', n = n + 7 where id = 1""")
    counts = made.settle()
    assert counts.parked == 0
    assert everywhere(pair, "select tags from t where id = 1") == ["a", "b", "c"]
    assert everywhere(pair, "select n from t where id = 1") == 12
    assert everywhere(pair, "select price::text from t where id = 1") == "0.123456789012"


@pytest.fixture
def three(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(f"m{number}", schema=f"{TABLE};{FORMS['jsonb']}") for number in (1, 2, 3)]


def test_three_masters_end_with_one_row_whatever_met(three: list[Node], lab: Build) -> None:
    made = swap(lab, three, "sql:merge", counters=("n",))
    for key, (one, other) in enumerate([("u", "u"), ("u", "d"), ("d", "u"), ("d", "d")], 1):
        for node, op, tag in zip(three, (one, other), ("ua", "ub"), strict=False):
            if op == "d":
                node.execute("delete from t where id = %s", [key])
            else:
                node.execute("update t set tags = %s, n = n + 5 where id = %s", [f'["{tag}"]', key])
        three[2].execute("update t set n = n + 100 where id = %s", [key])
    three[0].execute("delete from t where id = 6")
    three[1].execute("delete from t where id = 6; insert into t (id, n) values (6, 50); update t set n = n + 3")
    for node in three:
        node.execute("update t set tags = %s, n = n + 1 where id = 5", [f'["{node.name}"]'])
        node.execute("insert into t (id, tags, n) values (20, %s, 7)", [f'["{node.name}"]'])
    assert made.settle().parked == 0
    tags = "select tags::text from t where id = %s"
    assert [everywhere(three, tags % key) for key in (1, 2, 3, 5, 20)] == [
        '["ua", "ub"]',
        '["ua"]',
        '["ub"]',
        '["m1", "m2", "m3"]',
        '["m1", "m2", "m3"]',
    ]
    assert [everywhere(three, f"select n from t where id = {key}") for key in (1, 5, 6)] == [110 + 3, 3 + 3, 53]


def test_what_is_left_out_stays_as_on_the_later_side(nodes: Pair, lab: Build, functions: Path) -> None:
    for node in nodes:
        node.execute(TABLE)
    made = swap(lab, nodes, f"python:{functions}:some")
    nodes.source.execute("update t set v = 'sooner', price = 1.000000000001 where id = 1; delete from t where id = 2")
    nodes.target.execute("update t set v = 'later', price = 2.000000000002 where id in (1, 2)")
    made.settle()
    expected = '(1,"[""merged""]",later,2.000000000002,0,)'
    assert everywhere(nodes, "select t::text from t where id = 1") == expected
    assert everywhere(nodes, "select v from t where id = 2") == "later"


def test_both_losers_and_the_merged_row_are_in_the_ledger(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE + ";" + FORMS["jsonb"])
    made = swap(lab, nodes, "sql:merge", counters=("n",))
    nodes.source.execute("""update t set tags = '["a"]', v = 'first' where id = 1""")
    nodes.target.execute("""update t set tags = '["b"]', v = 'second' where id = 1""")
    made.settle()
    (conflict,) = noted(made)
    assert (conflict.ending, conflict.rule, [side.node for side in conflict.losers]) == (
        "merged",
        "sql:merge",
        ["source", "target"],
    )
    assert [side.row["v"] for side in conflict.sides if side.row] == ["first", "second"]
    assert conflict.merged and conflict.merged["tags"] == ["a", "b"]
    assert "n" not in conflict.merged
    for side, value in (("source", "first"), ("target", "second")):
        done = ledger.restore(made.topology, made.install, made.connector, conflict.name, side)
        assert (done.did, done.side.node) == ("updated", side)
        made.settle()
        assert everywhere(nodes, "select v from t where id = 1") == value
    with pytest.raises(UsageError, match="both rows were merged into a third"):
        ledger.restore(made.topology, made.install, made.connector, conflict.name)
    with pytest.raises(UsageError, match="elsewhere did not lose it"):
        ledger.restore(made.topology, made.install, made.connector, conflict.name, "elsewhere")


BAD = {
    "check": "violates check constraint",
    "long": "too long",
    "column": "has a column nonsense, which public.t has not",
    "key": "has another key: column id must stay",
    "null": "null value in column",
    "type": "invalid input syntax",
    "set": "is no value of JSON",
    "number": "it answered 5",
}


def test_a_row_that_cannot_be_is_parked_alone(nodes: Pair, lab: Build, functions: Path) -> None:
    for node in nodes:
        node.execute(TABLE)
    made = swap(lab, nodes, f"python:{functions}:bad")
    nodes.source.execute("insert into t (id, v) select i, 'v' from generate_series(7, 10) i")
    made.settle()
    for key, value in enumerate(BAD, 1):
        for price, node in enumerate(nodes):
            node.execute("update t set v = %s, price = %s where id = %s", [value, price, key])
    nodes.source.execute("update t set v = 'flows' where id = 10")
    made.settle()
    assert nodes.target.value("select v from t where id = 10") == "flows"
    parked = repair.find(made.topology, made.install, made.connector).parked
    assert {(row.target, row.key["id"]) for row in parked} == {(n.name, k) for n in nodes for k in range(1, 9)}
    for row in parked:
        assert re.search(list(BAD.values())[row.key["id"] - 1], row.error), row.error
    assert not noted(made), "nothing was decided"


def example(language: str) -> str:
    """The function in that language that the documentation shows."""
    text = Path("docs/how-to/conflicts.md").read_text()
    return text.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.mark.parametrize("language", ["sql", "python"])
def test_the_documentations_functions_work(nodes: Pair, lab: Build, tmp_path: Path, language: str) -> None:
    place = tmp_path / "documented.py"
    place.write_text(example("python"))
    for node in nodes:
        node.execute(f"{TABLE}; create schema app; {example('sql')}")
    made = swap(lab, nodes, "sql:app.merge_notes" if language == "sql" else f"python:{place}:merge")
    nodes.source.execute("""update t set tags = '["a"]', price = 1.5 where id in (1, 2)""")
    nodes.target.execute("""update t set tags = '["b"]', price = 1 where id = 1""")
    nodes.target.execute("delete from t where id = 2")
    assert made.settle().parked == 0
    assert everywhere(nodes, "select tags::text from t where id = 1") == '["a", "b"]'
    assert everywhere(nodes, "select price::text from t where id = 1") == (
        "1.500000000000" if language == "python" else "1.000000000000"
    )
    assert everywhere(nodes, "select count(*) from t where id = 2") == 0


def simulated(made: Lab, strategy: str) -> list[tuple[str, str, str]]:
    """Which conflicts would have ended otherwise: the row's key, how it ended, how it would have."""
    told = ledger.simulate(made.topology, made.install, made.connector, strategy, Filters())
    assert not told.silent, told.silent
    return sorted((str(note.key["id"]), note.ending, ending.word) for note, ending in told.changes)


def test_recorded_conflicts_can_be_tried_on_functions(nodes: Pair, lab: Build, functions: Path) -> None:
    for node in nodes:
        node.execute(TABLE + ";" + FORMS["jsonb"])
        node.execute(
            FUNCTION.format(returns="text", answer="insert into t (id) values (99); return 'local';").replace(
                "function merge", "function writes"
            )
        )
    made = swap(lab, nodes, "sql:merge")
    for key in (1, 2):
        nodes.source.execute("""update t set tags = '["a"]', v = 'check' where id = %s""", [key])
        nodes.target.execute("""update t set tags = '["b"]', v = 'check' where id = %s""", [key])
    made.settle()
    assert simulated(made, "sql:merge") == simulated(made, f"python:{functions}:tags") == []
    assert simulated(made, f"python:{functions}:some") == [(key, "merged", "merged") for key in "12"]
    assert simulated(made, f"python:{functions}:bad") == [(key, "merged", "merged") for key in "12"]
    assert simulated(made, f"python:{functions}:no_opinion") == [(key, "merged", "target") for key in "12"]
    assert simulated(made, "skip") == [(key, "merged", "neither") for key in "12"]
    assert simulated(made, "sql:writes") == [(key, "merged", "parked") for key in "12"]
    with pytest.raises(ReplicatorError, match="has no function nope"):
        simulated(made, f"python:{functions}:nope")
    told = ledger.simulate(made.topology, made.install, made.connector, "sql:nope", Filters())
    assert "there is no function public.nope" in str(told.silent["target"])

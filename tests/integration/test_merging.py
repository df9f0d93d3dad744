"""Functions that make a third row of two: it travels to all masters, counters keep adding, bad rows are parked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from replicator import ledger, repair
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
create function merge(incoming jsonb, local jsonb, info jsonb) returns {returns} language plpgsql set search_path = public as $$
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


@pytest.mark.parametrize("form", ["jsonb", "t", "python"])
@pytest.mark.pg("10,18")
def test_a_merged_row_travels_to_all(pair: Pair, lab: Build, form: str, functions: Path) -> None:
    for node in pair:
        node.execute(TABLE + ";" + FORMS.get(form, ""))
    made = swap(lab, pair, f"python:{functions}:merge" if form == "python" else "sql:merge", counters=("n",))
    pair.source.execute("""update t set tags = '["a", 1.50]', n = n + 5 where id = 1""")
    pair.target.execute("""update t set tags = '["b"]', v = 'b', n = n + 7 where id = 1""")
    counts = made.settle()
    assert counts.parked == 0, repair.find(made.topology, made.install, made.connector).parked
    assert sorted(map(str, everywhere(pair, "select tags from t where id = 1"))) in (["1.5", "a", "b"],)
    assert everywhere(pair, "select n from t where id = 1") == 12
    assert everywhere(pair, "select price::text from t where id = 1") == "0.123456789012"

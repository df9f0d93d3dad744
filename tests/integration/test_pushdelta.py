"""pushdelta: changed rows travel by key, each committed transaction in exactly one batch, on every server version."""

from __future__ import annotations

import pytest

from replicator.change import Counts
from replicator.model import SyncType
from tests.fixtures.lab import Build, rows
from tests.fixtures.nodes import NodeFactory, Pair

pytestmark = pytest.mark.both_captures

TABLE = "create table t (id int primary key, v text)"


def both(pair: Pair, *statements: str) -> None:
    for node in pair:
        for statement in statements:
            node.execute(statement)


def test_changes_travel(pair: Pair, lab: Build) -> None:
    both(pair, TABLE)
    pair.source.execute("insert into t select i, 'v' || i from generate_series(1, 100) i")
    made = lab([pair.source, pair.target])
    assert made.settle().inserted == 100
    assert rows(pair.target) == rows(pair.source)
    pair.source.execute("insert into t values (101, null)")
    pair.source.execute("update t set v = 'changed' where id <= 3")
    pair.source.execute("delete from t where id = 50")
    pair.source.execute("update t set id = 1000 where id = 60")
    assert made.run() == Counts(inserted=2, updated=3, deleted=2)
    assert rows(pair.target) == rows(pair.source)
    assert made.run() == Counts()


def test_a_late_commit_arrives_once(pair: Pair, lab: Build) -> None:
    both(pair, TABLE)
    made = lab([pair.source, pair.target])
    made.settle()
    late = pair.source.connect()
    late.autocommit = False
    late.execute("insert into t values (0, 'late')")
    for number in range(1, 6):
        pair.source.execute("insert into t values (%s, 'early')", [number])
        assert made.run().inserted == 1
    late.commit()
    late.close()
    assert made.run() == Counts(inserted=1)
    assert made.run() == Counts()
    assert rows(pair.target) == rows(pair.source)


def test_truncate_travels(pair: Pair, lab: Build) -> None:
    both(pair, TABLE)
    pair.source.execute("insert into t select i, 'x' from generate_series(1, 10) i")
    made = lab([pair.source, pair.target])
    made.settle()
    pair.source.execute("truncate t; insert into t values (3, 'new')")
    assert made.run() == Counts(inserted=1, deleted=10)
    assert rows(pair.target) == rows(pair.source)


@pytest.mark.pg("all")
def test_a_refused_row_is_parked_and_the_rest_flows(pair: Pair, lab: Build) -> None:
    both(pair, TABLE)
    pair.target.execute("alter table t add check (v <> 'bad')")
    made = lab([pair.source, pair.target])
    made.settle()
    pair.source.execute(
        "insert into t select i, case i when 7 then 'bad' else 'good' end from generate_series(1, 20) i"
    )
    assert made.run() == Counts(inserted=19, parked=1)
    assert pair.target.value("select count(*) from t") == 19
    ((key, error),) = pair.target.execute("select key, error from pgherd.parked")
    assert key == {"id": 7}
    assert "check constraint" in error
    pair.source.execute("update t set v = 'worse' where id = 7")
    assert made.run() == Counts(parked=1)
    pair.source.execute("update t set v = 'good' where id = 7")
    pair.target.execute("update pgherd.parked set retry = true")
    assert made.settle() == Counts(inserted=1)
    assert rows(pair.target) == rows(pair.source)
    assert pair.target.value("select count(*) from pgherd.parked") == 0


def test_rows_that_exchange_a_unique_value(pair: Pair, lab: Build) -> None:
    both(pair, "create table t (id int primary key, v text unique)")
    pair.source.execute("insert into t select i, 'v' || i from generate_series(1, 10) i")
    made = lab([pair.source, pair.target])
    made.settle()
    pair.source.execute(
        "update t set v = 'tmp' where id = 1; update t set v = 'v1' where id = 2; update t set v = 'v2' where id = 1"
    )
    assert made.run() == Counts(updated=2)
    assert rows(pair.target) == rows(pair.source)


def test_two_targets(node_factory: NodeFactory, lab: Build) -> None:
    nodes = [node_factory(name, schema=TABLE) for name in ("a", "b", "c")]
    nodes[0].execute("insert into t values (1, 'x')")
    made = lab(nodes, SyncType.PUSHDELTA)
    assert made.settle().inserted == 2
    assert rows(nodes[1]) == rows(nodes[2]) == rows(nodes[0])

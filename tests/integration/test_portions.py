"""Large batches: written a portion at a time, and still whole or not at all, whatever stands in the way of one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from replicator.apply import pump, stage, write
from replicator.change import Counts
from replicator.errors import ConnectionLost
from replicator.model import SyncType
from tests.fixtures.lab import Build, rows
from tests.fixtures.nodes import NodeFactory, Pair
from tests.fixtures.wait import until

TABLE = "create table t (id int primary key, number int not null, mood {type} not null, filler text)"
FILL = "insert into t select i, i, 'well', repeat('x', 300) from generate_series(1, 4000) i"
BINARY, TEXT = TABLE.format(type="text"), "create type mood as enum ('well', 'ill');" + TABLE.format(type="mood")


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Makes portions as small as they can be; the rows of each."""
    found: list[int] = []
    portions = stage.portions

    def spied(*args: object, **options: object) -> Iterator[tuple[int, bool]]:
        for count, more in portions(*args, **options):  # type: ignore[arg-type]
            found.append(count)
            yield count, more

    monkeypatch.setattr(pump, "FIRST", 1)
    monkeypatch.setattr(pump, "MOST", 1)
    monkeypatch.setattr(stage, "portions", spied)
    return found


@pytest.mark.parametrize("schema", [BINARY, TEXT], ids=["binary", "text"])
def test_a_large_batch_travels_in_portions(pair: Pair, lab: Build, schema: str, written: list[int]) -> None:
    for node in pair:
        node.execute(schema)
    pair.source.execute(FILL)
    made = lab(list(pair))
    made.settle()
    pair.source.execute("delete from t where id % 5 = 0")
    pair.source.execute("update t set number = -number where id % 2 = 0")
    pair.source.execute(FILL.replace("(1, 4000)", "(4001, 5000)"))
    written.clear()
    assert made.run() == Counts(inserted=1000, updated=1600, deleted=800)
    assert len(written) > 5 and sum(written) == 3400
    assert rows(pair.target) == rows(pair.source)
    assert made.run() == Counts()


def test_a_table_that_was_emptied_in_between(node_factory: NodeFactory, lab: Build) -> None:
    pair = node_factory.pair(schema=BINARY)
    pair.source.execute(FILL)
    made = lab(list(pair))
    made.settle()
    pair.source.execute("truncate t")
    pair.source.execute(FILL.replace("(1, 4000)", "(3001, 6000)"))
    assert made.run() == Counts(inserted=3000, deleted=4000)
    assert rows(pair.target) == rows(pair.source)


def test_values_of_a_unique_key_that_change_places_far_apart(node_factory: NodeFactory, lab: Build) -> None:
    pair = node_factory.pair(schema=BINARY + "; alter table t add unique (number)")
    pair.source.execute(FILL)
    made = lab(list(pair))
    made.settle()
    pair.source.execute("update t set number = -number")
    pair.source.execute("update t set number = 4001 + number")
    assert made.run() == Counts(updated=4000)
    assert rows(pair.target) == rows(pair.source)


def test_a_refused_row_of_a_late_portion_is_parked_alone(node_factory: NodeFactory, lab: Build) -> None:
    pair = node_factory.pair(schema=BINARY)
    pair.source.execute(FILL)
    made = lab(list(pair))
    made.settle()
    pair.target.execute("alter table t add check (id <> 3900 or number > 0)")
    pair.source.execute("update t set number = -number")
    assert made.run() == Counts(updated=3999, parked=1)
    assert pair.target.value("select array_agg(id) from t where number > 0") == [3900]


def test_what_a_slave_received_in_portions_flows_onward(node_factory: NodeFactory, lab: Build) -> None:
    nodes = [node_factory(name, schema=BINARY) for name in ("first", "second", "third")]
    made = lab(nodes[:2], makedelta=True)
    onward = lab(nodes[1:])
    made.settle()
    onward.settle()
    nodes[0].execute(FILL)
    assert made.run().inserted == 4000
    assert onward.settle().inserted == 4000
    nodes[0].execute("truncate t")
    nodes[0].execute(FILL.replace("(1, 4000)", "(2001, 6000)"))
    assert made.run() == Counts(inserted=4000, deleted=4000)
    onward.settle()
    assert rows(nodes[2]) == rows(nodes[0])


def test_nothing_of_it_is_there_when_a_late_portion_fails(
    node_factory: NodeFactory, lab: Build, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = node_factory.pair(schema=BINARY)
    pair.source.execute(FILL)
    made = lab(list(pair))
    made.settle()
    before = rows(pair.target)
    pair.source.execute("update t set number = -number")
    written.clear()
    original = write.write

    def broken(*args: object, **options: object) -> object:
        if len(written) == 4:
            raise psycopg.OperationalError("the line broke")
        return original(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(write, "write", broken)
        with pytest.raises(ConnectionLost):
            made.run()
    assert rows(pair.target) == before
    busy = "select count(*) from pg_stat_activity where query like 'copy (with%' and state = 'active'"
    assert pair.source.value(busy) == 0, "the source goes on for nobody"
    assert made.run() == Counts(updated=4000)
    assert rows(pair.target) == rows(pair.source)


def test_the_next_table_is_read_while_this_one_is_written(
    node_factory: NodeFactory, lab: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = node_factory.pair(schema=BINARY + ";" + BINARY.replace("table t", "table u"))
    made = lab(list(pair), tables=("t", "u"))
    made.settle()
    for table in "tu":
        pair.source.execute(FILL.replace("into t", f"into {table}"))
    original, asked = write.write, "select count(*) from pg_stat_activity where query like 'copy (with%\"u\"%'"

    def watched(*args: object, **options: object) -> object:
        until(lambda: pair.source.value(asked), 10, "the source has been asked for the other table's rows")
        return original(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(write, "write", watched)
    assert made.run().inserted == 8000
    assert rows(pair.target, "u") == rows(pair.source, "u")


def test_masters_meet_in_portions(node_factory: NodeFactory, lab: Build, written: list[int]) -> None:
    pair = node_factory.pair(schema=BINARY)
    made = lab(list(pair), SyncType.SWAP)
    made.settle()
    pair.source.execute(FILL)
    assert made.settle().inserted == 4000
    pair.source.execute("update t set number = -number where id <= 3000")
    pair.source.execute("delete from t where id > 3000")
    pair.target.execute("update t set filler = 'later' where id in (10, 1500, 2990, 3990)")
    written.clear()
    counts = made.settle()
    assert len(written) > 5
    assert counts.conflicts == 4
    assert rows(pair.target) == rows(pair.source)
    assert pair.source.value("select array_agg(id order by id) from t where filler = 'later'") == [10, 1500, 2990, 3990]
    assert made.settle() == Counts()


def test_masters_exchange_values_of_a_unique_key_far_apart(node_factory: NodeFactory, lab: Build) -> None:
    pair = node_factory.pair(schema=BINARY + "; alter table t add unique (number)")
    pair.source.execute(FILL)
    made = lab(list(pair), SyncType.SWAP)
    made.settle()
    pair.source.execute("update t set number = -number")
    pair.source.execute("update t set number = 4001 + number")
    assert made.settle() == Counts(updated=4000)
    assert rows(pair.target) == rows(pair.source)


def test_masters_with_counters_add_up_a_batch_as_a_whole(
    node_factory: NodeFactory, lab: Build, written: list[int]
) -> None:
    pair = node_factory.pair(schema=BINARY)
    pair.source.execute(FILL)
    made = lab(list(pair), SyncType.SWAP, counters=("number",))
    made.settle()
    for node in pair:
        node.execute("update t set number = number + 1")
    written.clear()
    made.settle()
    assert not written
    assert rows(pair.target) == rows(pair.source)
    assert pair.source.value("select sum(number - id) from t") == 8000

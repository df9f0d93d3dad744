"""First copies: under live writes, in ranges, taken up again, onto rows that are there; and when one is made anew."""

from __future__ import annotations

import threading

import pytest
from psycopg import sql

from replicator import syncrun
from replicator.change import Counts
from replicator.errors import Interrupted, SourceReplaced
from replicator.model import OneTimeCopy, SyncType, TableName
from replicator.postgres import fetch_one
from replicator.relations import describe
from replicator.table_copy import copy, ranges
from tests.fixtures.lab import Build, rows
from tests.fixtures.nodes import NodeFactory, Pair
from tests.fixtures.wait import until

TABLE = "create table t (id int primary key, v text)"


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", 64 * 1024)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle link looks after itself at once, not only twice a minute."""
    monkeypatch.setattr(syncrun, "HEARTBEAT", 0.0)


def filled(pair: Pair, count: int) -> None:
    for node in pair:
        node.execute(TABLE)
    pair.source.execute("insert into t select i, repeat('x', 50) from generate_series(1, %s) i", [count])
    pair.source.execute("analyze t")


@pytest.mark.usefixtures("small_ranges")
def test_a_table_is_cut_in_the_order_of_its_key(pair: Pair) -> None:
    """Not of its text, where 10000 is before 9000: ranges would overlap, and all but one be compared row by row."""
    filled(pair, 20000)
    with pair.source.connect() as connection:
        relation = describe(connection, [TableName.parse("t")])[TableName.parse("public.t")]
        bounds = ranges.cut(connection, relation)
        query = sql.SQL("select count(*) from t where {}")
        parts = [
            fetch_one(connection, query.format(ranges.condition(relation, bounds, number)))[0]
            for number in range(len(bounds) + 1)
        ]
    keys = [int(key) for (key,) in bounds]
    assert len(keys) > 5 and keys == sorted(keys)
    assert sum(parts) == 20000 and max(parts) < 3 * 20000 / len(parts)


@pytest.mark.usefixtures("small_ranges")
def test_in_ranges_onto_rows_that_are_there(pair: Pair, lab: Build) -> None:
    filled(pair, 20000)
    pair.target.execute("insert into t select i, repeat('x', 50) from generate_series(1, 20000, 2) i")
    pair.target.execute("insert into t values (-5, 'too low'), (30000, 'too high')")
    pair.target.execute("update t set v = 'other' where id = 7")
    made = lab([pair.source, pair.target])
    counts = made.settle()
    assert counts.inserted == 10001
    assert counts.deleted == 3
    assert rows(pair.target) == rows(pair.source)


@pytest.mark.usefixtures("small_ranges")
def test_goes_on_where_it_broke_off(nodes: Pair, lab: Build) -> None:
    filled(nodes, 20000)
    made = lab(list(nodes))
    broken = made.runner(made.sync()[0].link)
    pieces = 0

    def stop_after_some(_text: str) -> None:
        nonlocal pieces
        pieces = nodes.target.value("select coalesce(max(cardinality(done)), 0) from pgherd.progress_table")
        if pieces >= 3:
            made.stop.set("pulled the plug")

    watcher = threading.Event()

    def watch() -> None:
        while not watcher.wait(0.001):
            if nodes.target.value("select to_regclass('pgherd.progress_table') is not null"):
                stop_after_some("")

    thread = threading.Thread(target=watch)
    thread.start()
    with pytest.raises(Interrupted):
        broken.run()
    watcher.set()
    thread.join()
    copied = nodes.target.execute("select state, cardinality(done) from pgherd.progress_table")
    assert copied[0][0] == "copying"
    assert copied[0][1] >= 3
    nodes.source.execute("update t set v = 'meanwhile' where id % 100 = 0; delete from t where id % 100 = 1")
    # Of a connection that is closed in mid-statement, the server ends the statement first, and keeps its locks so long.
    held = "select count(*) from pg_locks where relation = 'public.t'::regclass and pid <> pg_backend_pid()"
    until(lambda: nodes.target.value(held) == 0, 10, "nothing of the broken run is left on the target")
    again = lab(list(nodes))
    again.settle()
    assert rows(nodes.target) == rows(nodes.source)


def test_the_largest_table_is_begun_first(nodes: Pair, lab: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "WORKERS", 1)
    for node in nodes:
        node.execute("create table small (id int primary key); create table large (id int primary key)")
    nodes.source.execute("insert into small values (1); insert into large select generate_series(1, 5000)")
    lab(list(nodes), SyncType.PUSHDELTA, ("small", "large")).settle()
    written = [nodes.target.value(f"select min(xmin::text::bigint) from {name}") for name in ("large", "small")]
    assert written == sorted(written)


def test_writes_during_the_copy_are_replayed(nodes: Pair, lab: Build) -> None:
    filled(nodes, 1000)
    made = lab(list(nodes))
    open_one = nodes.source.connect()
    open_one.autocommit = False
    made.sync()[0].prepare()
    open_one.execute("update t set v = 'open' where id = 1")
    nodes.source.execute("update t set v = 'committed' where id = 2; insert into t values (0, 'new')")
    assert made.run() == Counts(inserted=1, updated=1)
    open_one.commit()
    open_one.close()
    assert made.run() == Counts(updated=1)
    assert rows(nodes.target) == rows(nodes.source)


@pytest.mark.usefixtures("no_wait")
def test_a_table_made_again_is_copied_again(nodes: Pair, lab: Build) -> None:
    filled(nodes, 10)
    made = lab(list(nodes))
    made.settle()
    nodes.source.execute(
        "drop table t cascade; create table t (id int primary key, v text); insert into t values (1, 'n')"
    )
    made.run()
    assert rows(nodes.target) == [("(1,n)",)]


@pytest.mark.usefixtures("no_wait")
def test_a_disabled_trigger_leads_to_a_new_copy(nodes: Pair, lab: Build) -> None:
    filled(nodes, 10)
    made = lab(list(nodes))
    made.settle()
    nodes.source.execute("alter table t disable trigger pgherd_rows; delete from t where id = 5")
    assert made.sync()[0].run().copied == ("public.t",)
    assert rows(nodes.target) == rows(nodes.source)


def test_another_source_is_refused_until_asked(node_factory: NodeFactory, lab: Build) -> None:
    one, other, target = (node_factory(name, schema=TABLE) for name in ("one", "other", "target"))
    one.execute("insert into t values (1, 'right')")
    lab([one, target]).settle()
    other.execute("insert into t values (2, 'restored')")
    impostor = type(other)(other.server, type(other.database)(**{**vars(other.database), "name": "one"}))
    made = lab([impostor, target])
    with pytest.raises(SourceReplaced, match="onetimecopy always"):
        made.run()
    assert rows(target) == [("(1,right)",)]
    asked = lab([impostor, target], onetimecopy=OneTimeCopy.ALWAYS)
    asked.settle()
    assert rows(target) == [("(2,restored)",)]


def test_equal_tables_are_taken_as_they_are(nodes: Pair, lab: Build) -> None:
    filled(nodes, 10)
    made = lab(list(nodes), onetimecopy=OneTimeCopy.OFF)
    assert made.settle() == Counts()
    nodes.source.execute("insert into t values (11, 'x')")
    assert made.run() == Counts(inserted=1)
    assert rows(nodes.target) == [("(11,x)",)]


@pytest.mark.parametrize(
    ("on_source", "on_target", "words"),
    [
        ("create table t (id int primary key)", "select", "the table is missing on target"),
        ("create table t (id int primary key, a int)", "create table t (id int primary key)", 'column "a" is missing'),
        ("create table t (id int primary key)", "create table t (id bigint primary key)", "is integer on source"),
        ("create table t (id int primary key)", "create table t (id int)", "is not a unique key"),
        ("create table t (id int)", "create table t (id int)", "no primary key"),
    ],
)
def test_tables_that_do_not_fit(nodes: Pair, lab: Build, on_source: str, on_target: str, words: str) -> None:
    nodes.source.execute(on_source)
    nodes.target.execute(on_target)
    assert lab(list(nodes)).run() == Counts()
    assert words in nodes.target.value("select note from pgherd.table_columns where parked")


def test_a_column_added_on_both_sides(nodes: Pair, lab: Build) -> None:
    filled(nodes, 3)
    made = lab(list(nodes))
    made.settle()
    for node in nodes:
        node.execute("alter table t add column extra int default 5")
    nodes.source.execute("update t set extra = 6 where id = 1")
    assert made.run() == Counts(updated=1)
    assert rows(nodes.target) == rows(nodes.source)


def test_sequences_follow(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute("create table t (id serial primary key, v text)")
    made = lab(list(nodes), SyncType.PUSHDELTA, sequences=("t_id_seq",))
    nodes.source.execute("insert into t (v) select 'x' from generate_series(1, 5)")
    made.settle()
    assert nodes.target.value("select nextval('t_id_seq')") == 6
    nodes.source.execute("select setval('t_id_seq', 100)")
    made.run()
    assert nodes.target.value("select nextval('t_id_seq')") == 101

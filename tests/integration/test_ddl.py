"""Definitions that change while rows flow: one side first, both at once, what parks a table, and how it goes on."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from replicator.apply import fill
from replicator.change import Counts
from replicator.model import Ddl, SyncType
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair

pytestmark = pytest.mark.both_captures

TABLES = """
create table t (id int primary key, v text);
create table other (id int primary key, v text);
insert into t select i, 'v' from generate_series(1, 6) i;
"""
ROW_SYNCS = [SyncType.PUSHDELTA, SyncType.SWAP]


def started(lab: Build, pair: Pair, kind: SyncType, **options: Any) -> Lab:
    for node in pair:
        node.execute(TABLES)
    made = lab(list(pair), kind, tables=("t", "other"), **options)
    made.settle()
    return made


def settle(made: Lab) -> None:
    """Until there is nothing left to bring, columns that are being filled in included."""
    made.settle()
    unfilled = "select exists (select from pgherd.table_columns where not parked and filling && common)"
    for _ in range(100):
        if not any(node.value(unfilled) for node in made.nodes.values() if node.value(HAS_SCHEMA)):
            return
        made.settle()
    raise AssertionError("columns are being filled in for ever")


HAS_SCHEMA = "select to_regclass('pgherd.table_columns') is not null"


def note(target: Node, table: str = "t") -> str:
    return str(
        target.value("select note from pgherd.table_columns where table_name = %s and source = 'source'", [table])
    )


def equal(pair: Pair) -> bool:
    return rows(pair.source, "(select id, v, x from t)") == rows(pair.target, "(select id, v, x from t)")


@pytest.mark.parametrize("kind", [*ROW_SYNCS, SyncType.FULLCOPY])
def test_a_column_added_on_the_source_first(
    nodes: Pair, lab: Build, kind: SyncType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "PART", 2)
    made = started(lab, nodes, kind)
    nodes.source.execute("alter table t add column x int default 5")
    nodes.source.execute("update t set v = 'new', x = 7 where id = 1; insert into t values (7, 'v', 8)")
    nodes.source.execute("delete from t where id = 2")
    settle(made)
    assert rows(nodes.target)[0] == ("(1,new)",)
    assert len(rows(nodes.target)) == 6
    assert note(nodes.target) == 'column "x" is missing on target, it is left out until it is there'
    nodes.target.execute("alter table t add column x int")  # with another default: the source's values count
    nodes.source.execute("update t set v = 'while it is filled' where id = 3")
    settle(made)
    assert equal(nodes)
    assert nodes.target.value("select array_agg(x order by id) from t") == [7, 5, 5, 5, 5, 8]
    assert note(nodes.target) == ""
    nodes.source.execute("update t set x = 9 where id = 3")
    settle(made)
    assert equal(nodes)


@pytest.mark.parametrize("kind", ROW_SYNCS)
def test_a_column_added_on_the_target_first(nodes: Pair, lab: Build, kind: SyncType) -> None:
    made = started(lab, nodes, kind)
    nodes.target.execute("alter table t add column x int not null default 5; update t set x = 6 where id = 2")
    nodes.source.execute("update t set v = 'new' where id in (1, 2); insert into t values (7, 'v')")
    settle(made)
    assert note(nodes.target) == 'column "x" is missing on source, it is left out until it is there'
    assert nodes.target.value("select array_agg(x order by id) from t") == [5, 6, 5, 5, 5, 5, 5]
    assert rows(nodes.target, "(select id, v from t)") == rows(nodes.source)
    nodes.source.execute("alter table t add column x int not null default 1; update t set x = 9 where id = 3")
    settle(made)
    assert equal(nodes)
    # On a slave the source's values count, between masters those of whoever had the column first, unless written later.
    kept = [1, 1, 9, 1, 1, 1, 1] if kind is SyncType.PUSHDELTA else [5, 6, 9, 5, 5, 5, 5]
    assert nodes.source.value("select array_agg(x order by id) from t") == kept


def test_a_column_added_on_both_sides_between_two_batches(nodes: Pair, lab: Build) -> None:
    made = started(lab, nodes, SyncType.SWAP)
    for node in nodes:
        node.execute("alter table t add column x int default 5")
    nodes.source.execute("update t set x = 6 where id = 1")
    assert made.run() == Counts(updated=1)
    assert equal(nodes)


def test_masters_lose_nothing_that_is_written_while_a_column_is_filled_in(
    nodes: Pair, lab: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "PART", 2)
    made = started(lab, nodes, SyncType.SWAP)
    nodes.source.execute("alter table t add column x int default 0; update t set x = id")
    settle(made)
    nodes.target.execute("update t set v = 'seen', id = id where id = 4")
    settle(made)
    nodes.target.execute("alter table t add column x int default 0")
    nodes.target.execute("update t set v = 'no x' where id = 5; update t set v = 'x', x = 60 where id = 6")
    nodes.target.execute("insert into t values (7, 'mine', 70); delete from t where id = 1")
    settle(made)
    assert equal(nodes)
    assert nodes.source.value("select array_agg(v || x order by id) from t") == [
        *("v2", "v3", "seen4", "no x5", "x60", "mine70"),
    ]
    assert nodes.target.value("select count(*) from pgherd.conflict") == 0


def test_columns_come_while_both_masters_write(nodes: Pair, lab: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill, "PART", 200)
    made = started(lab, nodes, SyncType.SWAP)
    nodes.source.execute("insert into t select i, 'v' from generate_series(7, 300) i")
    settle(made)
    stop, failed = threading.Event(), list[BaseException]()

    def write(node: Node, first: int) -> None:
        try:
            with node.connect() as application:
                for number in itertools.count():
                    if stop.wait(0.005):
                        return
                    application.execute("update t set v = %s where id = %s", [f"{first}.{number}", number % 300 + 1])
                    application.execute("insert into t (id, v) values (%s, 'new')", [first + number])
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(node, (n + 1) * 1_000_000)) for n, node in enumerate(nodes)]
    for writer in writers:
        writer.start()
    try:
        made.run()
        nodes.source.execute("alter table t add column x int")
        nodes.source.execute("update t set x = id where id <= 300")
        for _ in range(3):
            made.run()
        nodes.target.execute("alter table t add column x int")
        for _ in range(10):
            made.run()
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert failed == []
    settle(made)
    assert equal(nodes)
    assert nodes.target.value("select count(*) from t where x = id and id <= 300") == 300


def test_three_masters(node_factory: NodeFactory, lab: Build) -> None:
    masters = [node_factory(name, schema=TABLES) for name in ("source", "two", "three")]
    made = lab(masters, SyncType.SWAP, tables=("t", "other"))
    settle(made)
    for number, node in enumerate(masters):
        node.execute("alter table t add column x int default 0")
        node.execute("update t set x = %s where id = %s", [number + 1, number + 1])
        settle(made)
    masters[1].execute("update t set x = 9 where id = 6")
    settle(made)
    everywhere = [node.value("select array_agg(x order by id) from t") for node in masters]
    assert everywhere == [[1, 2, 3, 0, 0, 9]] * 3


@pytest.mark.parametrize(
    ("kind", "change", "mend", "words"),
    [
        *(
            (
                kind,
                "alter table t drop column v",
                "alter table t drop column v",
                'column "v" was dropped or renamed on target',
            )
            for kind in ROW_SYNCS
        ),
        (
            SyncType.SWAP,
            "alter table t alter v type varchar(9)",
            "alter table t alter v type varchar(9)",
            'column "v" is text on source and character varying(9) on target',
        ),
        (
            SyncType.SWAP,
            "alter table t drop constraint t_pkey",
            None,
            "is not a unique key of NOT NULL columns on target",
        ),
        (SyncType.PUSHDELTA, "alter table t rename to u", None, "the table is missing on target"),
    ],
)
def test_what_parks_a_table(nodes: Pair, lab: Build, kind: SyncType, change: str, mend: str | None, words: str) -> None:
    made = started(lab, nodes, kind)
    nodes.target.execute(change)
    nodes.source.execute("update t set v = 'one' where id = 1; insert into other values (1, 'flows')")
    settle(made)
    assert words in note(nodes.target)
    assert rows(nodes.target, "other") == [("(1,flows)",)]
    # What is written while the table waits is not lost, nor what is written to the others doubled.
    nodes.source.execute("update t set v = 'two' where id = 2; delete from t where id = 3; update other set v = 'on'")
    settle(made)
    made.close()
    made.runners.clear()  # as after a crash: all that is known is on the target
    if mend:
        nodes.source.execute(mend)
    else:
        undo = {"drop": "alter table t add primary key (id)", "rename": "alter table u rename to t"}
        nodes.target.execute(undo[change.split()[3]])
    settle(made)
    assert note(nodes.target) == ""
    assert rows(nodes.target) == rows(nodes.source)
    assert rows(nodes.target, "other") == rows(nodes.source, "other")
    nodes.source.execute("insert into t (id) values (9)")
    settle(made)
    assert rows(nodes.target) == rows(nodes.source)


@pytest.mark.parametrize("kind", ROW_SYNCS)
def test_a_key_of_another_type(nodes: Pair, lab: Build, kind: SyncType) -> None:
    made = started(lab, nodes, kind)
    nodes.source.execute("update t set v = 'before' where id = 1")
    log = nodes.source.value("select id from pgherd.captured where table_name = 't'")
    nodes.source.execute("alter table t alter id type bigint")
    made.run()
    assert note(nodes.target) == 'column "id" is bigint on source and integer on target'
    nodes.source.execute("insert into t values (5000000000, 'large'); insert into other values (1, 'flows')")
    settle(made)
    assert rows(nodes.target, "other") == [("(1,flows)",)]
    nodes.target.execute("alter table t alter id type bigint")
    settle(made)
    assert rows(nodes.target) == rows(nodes.source)
    assert ("(1,before)",) in rows(nodes.target)
    assert nodes.source.value("select id from pgherd.captured where table_name = 't'") == log, "the log goes on"


@pytest.mark.parametrize("kind", [SyncType.FULLCOPY, SyncType.SWAP])
def test_new_columns_are_added(nodes: Pair, lab: Build, kind: SyncType) -> None:
    made = started(lab, nodes, kind, ddl=Ddl.NEWCOL)
    nodes.source.execute("""
        alter table t add column x varchar(20) not null default 'it''s', add column "Y z" numeric(5, 2)[];
        update t set x = 'own', "Y z" = '{1.50}' where id = 1""")
    settle(made)
    assert rows(nodes.target) == rows(nodes.source)
    query = (
        "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute where attrelid = 't'::regclass"
    )
    assert nodes.target.execute(query) == nodes.source.execute(query)
    assert note(nodes.target) == ""


def test_a_column_that_cannot_be_added_is_left_out(nodes: Pair, lab: Build) -> None:
    made = started(lab, nodes, SyncType.PUSHDELTA, ddl=Ddl.NEWCOL)
    nodes.source.execute("create type mood as enum ('glad'); alter table t add column x mood default 'glad'")
    nodes.source.execute("update t set v = 'flows' where id = 1")
    settle(made)
    assert rows(nodes.target)[0] == ("(1,flows)",)
    assert "is missing on target" in note(nodes.target)
    nodes.target.execute("create type mood as enum ('glad')")
    made.sync()[0].prepare()
    settle(made)
    assert equal(nodes)


def test_values_that_the_target_refuses_park_the_table(nodes: Pair, lab: Build) -> None:
    made = started(lab, nodes, SyncType.PUSHDELTA)
    nodes.source.execute("alter table t add column x int; update t set x = 7 where id = 1")
    settle(made)
    nodes.target.execute("alter table t add column x int constraint small check (x < 5)")
    nodes.source.execute("update t set v = 'two' where id = 2; insert into other values (1, 'flows')")
    settle(made)
    assert 'target refuses values of its new columns: new row for relation "t" violates' in note(nodes.target)
    assert rows(nodes.target, "other") == [("(1,flows)",)]
    nodes.target.execute("alter table t drop constraint small")
    made.run(kicked=True)
    settle(made)
    assert equal(nodes)
    assert note(nodes.target) == ""


def test_a_parked_row_does_not_keep_a_column_from_being_filled_in(nodes: Pair, lab: Build) -> None:
    made = started(lab, nodes, SyncType.PUSHDELTA)
    nodes.source.execute("alter table t add column x int; update t set x = id")
    settle(made)
    nodes.target.execute("alter table t add column x int constraint small check (x < 6)")
    nodes.source.execute("update t set v = 'refused' where id = 6")
    settle(made)
    assert nodes.target.value("select array_agg(x order by id) from t") == [1, 2, 3, 4, 5, None]
    assert nodes.target.value("select count(*) from pgherd.parked") == 1
    assert note(nodes.target) == ""


def test_an_update_of_a_new_column_and_a_counter_is_a_version(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute("create table t (id int primary key, n int not null); insert into t values (1, 0)")
    made = lab(list(nodes), SyncType.SWAP, counters=("n",))
    settle(made)
    for node in nodes:
        node.execute("alter table t add column x int")
    nodes.source.execute("update t set n = n + 1, x = 5")
    nodes.target.execute("update t set n = n + 2")
    settle(made)
    assert rows(nodes.source) == rows(nodes.target) == [("(1,3,5)",)]

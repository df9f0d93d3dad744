"""Sequences of a swap: masters never hand out one number, while applications take numbers and masters join."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from replicator.errors import SchemaMismatch
from replicator.ledger import Filters, find
from replicator.model import Numbers, SyncType
from replicator.sequences.shares import AHEAD
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.wait import until

SCHEMA = """
create table t (id bigint generated always as identity primary key, made text not null);
create table u (id serial primary key, made text not null);
create sequence shared;
create table w (id int primary key default nextval('shared'), n smallint, made text not null);
"""
TABLES = ("t", "u", "w")


def masters(factory: NodeFactory, count: int) -> list[Node]:
    return [factory(f"m{number}", schema=SCHEMA) for number in range(1, count + 1)]


class Traffic:
    """An application that inserts rows on a node, each in a transaction of its own, until it is stopped."""

    def __init__(self, node: Node) -> None:
        self.rows = 0
        self.errors: list[psycopg.Error] = []
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main)
        self._thread.start()

    def _main(self) -> None:
        with self._node.connect() as connection:
            while not self._stop.wait(0.001):
                try:
                    for table in TABLES:
                        connection.execute(f"insert into {table} (made) values (%s)", [self._node.name])
                    self.rows += 1
                except psycopg.Error as error:
                    self.errors.append(error)
                    return

    def end(self) -> int:
        self._stop.set()
        self._thread.join()
        assert not self.errors
        return self.rows


@contextmanager
def traffic(nodes: list[Node]) -> Iterator[list[Traffic]]:
    running = [Traffic(node) for node in nodes]
    try:
        yield running
    finally:
        for each in running:
            each.end()


def busy(running: list[Traffic], more: int = 20) -> None:
    """Wait until all have inserted that many rows more."""
    wanted = [each.rows + more for each in running]
    until(
        lambda: any(e.errors for e in running) or all(e.rows >= w for e, w in zip(running, wanted, strict=True)),
        20,
        "rows are inserted",
    )


def more_masters(made: Lab, build: Build, nodes: list[Node]) -> Lab:
    made.close()
    return build(nodes, SyncType.SWAP, TABLES)


def conflicts(made: Lab) -> int:
    return len(find(made.topology, made.install, made.connector, Filters()).conflicts)


def test_masters_insert_at_once_and_a_third_joins_live(node_factory: NodeFactory, lab: Build) -> None:
    nodes = masters(node_factory, 3)
    for table in TABLES:
        nodes[0].execute(f"insert into {table} (made) select 'before' from generate_series(1, 40)")
    with traffic(nodes[:1]) as first:
        busy(first)
        made = lab(nodes[:2], SyncType.SWAP, TABLES)
        made.run()
        with traffic(nodes[1:2]) as second:
            busy([*first, *second])
            made.run()
            made = more_masters(made, lab, nodes)
            made.run()
            with traffic(nodes[2:]) as third:
                everyone = [*first, *second, *third]
                busy(everyone)
                made.run()
                busy(everyone)
    counts = made.settle()
    assert counts.conflicts == 0 == conflicts(made)
    inserted = [40 + everyone[0].rows, everyone[1].rows, everyone[2].rows]
    for table in TABLES:
        assert rows(nodes[0], table) == rows(nodes[1], table) == rows(nodes[2], table)
        assert len(rows(nodes[0], table)) == sum(inserted)
        for node in nodes[1:]:
            query = f"select distinct id %% 16 from {table} where made = %s"
            assert node.execute(query, [node.name]) == [(node.database.id,)]


def test_without_shares_they_collide(node_factory: NodeFactory, lab: Build) -> None:
    nodes = masters(node_factory, 2)
    made = _left_alone(lab, nodes)
    made.settle()
    for node in nodes:
        node.execute("insert into t (made) values (%s)", [node.name])
    made.settle()
    assert conflicts(made) == 1


def _left_alone(build: Build, nodes: list[Node]) -> Lab:
    made = build(nodes, SyncType.SWAP, TABLES)
    sync = replace(made.topology.syncs["s"], sequences=Numbers.NONE)
    made.topology = replace(made.topology, syncs={"s": sync})
    return made


def test_filled_masters_go_on_beyond_what_all_have(node_factory: NodeFactory, lab: Build) -> None:
    nodes = masters(node_factory, 2)
    for node, last in zip(nodes, (1000, 70), strict=True):
        node.execute("insert into u values (5000, 'by hand')")
        node.execute("select setval('t_id_seq', %s), setval('shared', 3, false)", [last])
    lab(nodes, SyncType.SWAP, TABLES).settle()
    for node in nodes:
        place = node.database.id
        taken = node.execute("select nextval('t_id_seq'), nextval('u_id_seq'), nextval('shared')")[0]
        beyond = [(last // 16 + 1 + AHEAD) * 16 + place for last in (1000 - 1, 5000 - 1, 2)]
        assert list(taken) == beyond
        node.execute("truncate t restart identity")
        assert node.value("select nextval('t_id_seq') % 16") == place


def test_a_second_look_changes_nothing(node_factory: NodeFactory, lab: Build) -> None:
    nodes = masters(node_factory, 2)
    made = lab(nodes, SyncType.SWAP, TABLES)
    made.settle()
    query = "select array_agg(relfilenode order by oid) from pg_class where relkind = 'S'"
    before = [node.value(query) for node in nodes]
    nodes[1].execute("insert into t (made) select 'x' from generate_series(1, 500)")
    made.close()
    made.run()
    assert [node.value(query) for node in nodes] == before


def test_a_transaction_that_took_a_number_is_waited_for(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(SCHEMA)
    made = lab(list(nodes), SyncType.SWAP, TABLES)
    with nodes.source.connect() as holder:
        holder.execute("begin")
        (taken,) = holder.execute("select nextval('t_id_seq') + 1000 * nextval('t_id_seq')").fetchone() or (0,)
        blocked = threading.Thread(target=made.run)
        blocked.start()
        waits = "select exists (select from pg_locks where not granted and relation = 't_id_seq'::regclass)"
        until(lambda: nodes.source.value(waits), 20, "the sequence's lock is waited for")
        holder.execute("commit")
        blocked.join()
    assert taken == 2001
    assert nodes.source.value("select nextval('t_id_seq')") == (1 + AHEAD) * 16 + nodes.source.database.id


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("alter sequence u_id_seq cycle", "CYCLE"),
        ("alter sequence shared increment by 50", "power of two"),
        ("alter sequence shared increment by -1 minvalue -9 start -1 restart", "the other way"),
    ],
)
def test_a_sequence_that_cannot_be_shared_stops_the_link(nodes: Pair, lab: Build, change: str, says: str) -> None:
    for node in nodes:
        node.execute(SCHEMA)
    nodes.source.execute(change)
    with pytest.raises(SchemaMismatch, match=says):
        lab(list(nodes), SyncType.SWAP, TABLES).run()


def test_sequences_that_count_down(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute("create table t (id int generated always as identity (increment by -1) primary key, made text)")
    made = lab(list(nodes), SyncType.SWAP)
    nodes.source.execute("insert into t (made) select 'x' from generate_series(1, 40)")
    made.settle()
    for node in nodes:
        number = node.value("insert into t (made) values ('y') returning id")
        assert -number == (3 + AHEAD) * 16 + node.database.id
    assert made.settle().conflicts == 0


@pytest.mark.pg("10,18")
def test_one_way_a_sequence_stands_where_the_source_has_it(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(
            "create table t (id bigint generated always as identity primary key, n serial);"
            "create sequence down increment by -2 maxvalue 100 start 100; create sequence round maxvalue 3 cycle"
        )
    names = ("t_id_seq", "t_n_seq", "down", "round")
    made = lab(list(nodes), SyncType.PUSHDELTA, sequences=names)
    made.settle()

    def stand(node: Node) -> list[object]:
        return [node.execute(f"select last_value, is_called from {name}") for name in names]

    assert stand(nodes.target) == stand(nodes.source)
    assert nodes.target.value("select nextval('down')") == 100  # never used on the source: its first number
    nodes.source.execute("insert into t default values; select nextval('down'), nextval('down')")
    for _ in range(4):
        nodes.source.execute("select nextval('round')")
    made.run()
    assert stand(nodes.target) == stand(nodes.source)
    assert [nodes.target.value(f"select nextval('{name}')") for name in names] == [2, 2, 96, 2]


def test_a_sequence_that_comes_later_is_taken_in(node_factory: NodeFactory, lab: Build) -> None:
    nodes = masters(node_factory, 2)
    made = lab(nodes, SyncType.SWAP, TABLES)
    made.settle()
    for node in nodes:
        node.execute(
            "create sequence later; alter table w alter column id set default nextval('later');"
            " alter table u add column number bigserial"
        )
    for runner in made.sync():
        assert runner.pending(), "it is noticed, also while nothing is written"
    made.run()
    for node in nodes:
        for _ in range(5):
            node.execute("insert into w (made) values ('x'); insert into u (made) values ('x')")
        steps = "select increment_by from pg_sequences where sequencename in ('later', 'u_number_seq')"
        assert node.execute(steps) == [(16,), (16,)]
    made.settle()
    assert rows(nodes[0], "w") == rows(nodes[1], "w")
    assert nodes[0].value("select count(distinct number) from u") == 10
    assert not conflicts(made)

"""Counters: concurrent changes add up, whoever made them and whatever becomes of the row's other columns."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from replicator.change import Counts
from replicator.ledger import Filters, find
from replicator.model import SyncType
from tests.fixtures import pgbench
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair

FIRST = int(os.environ.get("PGHERD_TEST_SEED") or 1)

TABLE = "create table t (id int primary key, v text, n int not null default 0, price numeric(12, 4) not null default 0)"


@pytest.fixture
def masters(servers: Any) -> Iterator[list[Node]]:
    """Three databases on PostgreSQL 16, 10 and 18."""
    factory = NodeFactory(servers.get(16))
    yield [factory(f"m{n}", server=servers.get(major), schema=TABLE) for n, major in enumerate((16, 10, 18), 1)]
    factory.close()


def swap(lab: Build, nodes: list[Node], **options: object) -> Lab:
    nodes[0].execute("insert into t select i, 'v', 100, 1.5 from generate_series(1, 5) i")
    made = lab(nodes, SyncType.SWAP, counters=("n", "price"), **options)
    made.settle()
    return made


def everywhere(nodes: list[Node], key: int) -> tuple[Any, ...]:
    """The row of that key, which must be the same on all nodes."""
    found = {node.execute("select v, n, price from t where id = %s", [key])[0] for node in nodes}
    assert len(found) == 1, found
    return found.pop()


def test_what_several_add_adds_up_and_is_no_conflict(masters: list[Node], lab: Build) -> None:
    made = swap(lab, masters)
    for number, node in enumerate(masters, 1):
        for _ in range(number):
            node.execute("update t set n = n + %s, price = price - 0.25 where id = 1", [10**number])
    counts = made.settle()
    assert everywhere(masters, 1) == ("v", 100 + 10 + 2 * 100 + 3 * 1000, Decimal("0"))
    assert counts.conflicts == 0
    assert made.run() == Counts()


def test_gains_count_where_the_row_loses(masters: list[Node], lab: Build) -> None:
    made = swap(lab, masters)
    masters[0].execute("update t set v = 'sooner', n = n + 1 where id = 1")
    masters[1].execute("update t set v = 'later', n = n + 10 where id = 1")
    masters[2].execute("update t set n = n + 100 where id = 1")
    made.settle()
    assert everywhere(masters, 1) == ("later", 211, Decimal("1.5"))
    found = find(made.topology, made.install, made.connector, Filters()).conflicts
    assert {conflict.losers[0].node for conflict in found} == {"m1"}


def test_a_row_that_comes_brings_its_value(masters: list[Node], lab: Build) -> None:
    made = swap(lab, masters)
    masters[1].execute("insert into t values (9, 'new', 7); update t set n = n + 1 where id = 9")
    made.settle()
    masters[2].execute("update t set n = n + 5 where id = 9")
    made.settle()
    assert everywhere(masters, 9) == ("new", 13, Decimal("0"))
    masters[0].execute("delete from t where id = 9; insert into t values (9, 'again', 1)")
    made.settle()
    assert everywhere(masters, 9) == ("again", 1, Decimal("0"))


def test_a_deleted_row_that_was_counted_on_is_decided(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    made = swap(lab, list(nodes))
    nodes.source.execute("delete from t where id = 1")
    nodes.target.execute("update t set n = n + 5 where id = 1")
    nodes.target.execute("update t set n = n + 5 where id = 2")
    nodes.source.execute("delete from t where id = 2")
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    assert everywhere(list(nodes), 1)[1] == 105
    assert not nodes.source.execute("select from t where id = 2")
    assert len(find(made.topology, made.install, made.connector, Filters()).conflicts) == 2


def test_what_was_added_before_a_row_comes_back_is_in_it(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    made = swap(lab, list(nodes))
    nodes.target.execute("update t set n = n + 5 where id = 1")
    nodes.target.execute("delete from t where id = 1")
    nodes.source.execute("update t set v = 'later', n = n + 1 where id = 1")
    made.settle()
    assert everywhere(list(nodes), 1) == ("later", 106, Decimal("1.5"))


def test_a_counter_may_be_added_and_taken_away(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    made = swap(lab, list(nodes))
    for counters in (("price",), (), ("t.n", "price")):
        made.close()
        made = lab(list(nodes), SyncType.SWAP, counters=counters)
        made.settle()
        for node in nodes:
            node.execute("update t set price = price + 1 where id = 3")
            made.settle()
        assert rows(nodes.source) == rows(nodes.target)
    assert everywhere(list(nodes), 3)[2] == Decimal("7.5")


def test_the_balances_of_tpc_b_add_up_on_all(servers: Any, lab: Build) -> None:
    factory = NodeFactory(servers.get(16))
    nodes = [factory(f"m{n}", server=servers.get(major)) for n, major in enumerate((16, 10, 18), 1)]
    pgbench.initialise(nodes[0])
    for node in nodes[1:]:
        pgbench.initialise(node)
        node.execute("delete from pgbench_accounts; delete from pgbench_tellers; delete from pgbench_branches")
    made = lab(nodes, SyncType.SWAP, pgbench.TABLES, counters=("abalance", "bbalance", "tbalance"))
    made.settle()
    traffic = [pgbench.Traffic(node, clients=2, transactions=150) for node in nodes]
    for each in traffic:
        each.finish()
        made.run()
    counts = made.settle()
    assert counts.conflicts == 0
    sums = [
        node.execute(
            "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),"
            " (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history),"
            " (select count(*) from pgbench_history)"
        )[0]
        for node in nodes
    ]
    assert sums[0] == sums[1] == sums[2]
    assert len({int(value) for value in sums[0][:4]}) == 1
    assert sums[0][4] == 3 * 2 * 150
    for table in pgbench.TABLES:
        ordered = [sorted(rows(node, table), key=str) for node in nodes]
        assert ordered[0] == ordered[1] == ordered[2], table
    factory.close()


def parked(node: Node) -> list[Any]:
    return [gains for (gains,) in node.execute("select gains from pgherd.parked order by key")]


def try_again(node: Node) -> None:
    node.execute("update pgherd.parked set retry = true")


def test_what_is_gained_while_a_row_is_parked_is_added_when_it_is_tried_again(masters: list[Node], lab: Build) -> None:
    made = swap(lab, masters)
    one, two, three = masters
    two.execute("alter table t add constraint short check (length(v) < 5)")
    one.execute("update t set v = 'much too long', n = n + 1 where id = 1")
    made.settle()
    assert parked(two) == [{"n": 1, "price": 0}]
    for node, gain in ((one, 10), (two, 100), (three, 1000)):
        node.execute("update t set n = n + %s, price = price + 0.5 where id = 1", [gain])
        made.settle()
    one.execute("update t set n = n + 10 where id = 1")
    made.settle()
    assert parked(two) == [{"n": 21, "price": 0.5}]
    assert two.value("select n from t where id = 1") == 1200
    two.execute("alter table t drop constraint short")
    try_again(two)
    one.execute("update t set n = n + 10000 where id = 1")
    made.settle()
    assert everywhere(masters, 1) == ("much too long", 100 + 1 + 10 + 100 + 1000 + 10 + 10000, Decimal("3"))
    assert not parked(two)
    assert made.run() == Counts()


def test_gains_of_a_parked_row_that_another_has_changed_meanwhile(masters: list[Node], lab: Build) -> None:
    made = swap(lab, masters)
    one, two, three = masters
    two.execute("alter table t add constraint short check (length(v) < 5)")
    one.execute("update t set v = 'much too long', n = n + 1 where id = 1")
    made.settle()
    three.execute("update t set v = 'good', n = n + 10 where id = 1")
    made.settle()
    assert two.execute("select v, n from t where id = 1") == [("good", 110)]
    try_again(two)
    made.settle()
    assert everywhere(masters, 1) == ("good", 111, Decimal("1.5"))


def test_a_new_row_that_was_parked_brings_its_counters_as_they_are(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    made = swap(lab, list(nodes))
    nodes.target.execute("alter table t add constraint short check (length(v) < 5)")
    nodes.source.execute("insert into t values (9, 'much too long', 7)")
    made.settle()
    nodes.source.execute("update t set n = n + 1 where id = 9")
    made.settle()
    assert parked(nodes.target) == [None]
    nodes.target.execute("alter table t drop constraint short")
    try_again(nodes.target)
    made.settle()
    assert everywhere(list(nodes), 9) == ("much too long", 8, Decimal("0"))


def test_gains_are_held_in_order_with_a_row_made_anew(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    made = swap(lab, list(nodes))
    nodes.target.execute("alter table t add constraint few check (n < 500)")
    nodes.source.execute("update t set n = n + 900 where id = 1")
    made.settle()
    assert parked(nodes.target) == [{"n": 900, "price": 0}]
    nodes.source.execute("delete from t where id = 1")
    nodes.source.execute("insert into t values (1, 'anew', 3)")
    made.settle()
    assert parked(nodes.target) == [None]
    nodes.source.execute("update t set n = n + 4 where id = 1")
    made.settle()
    try_again(nodes.target)
    made.settle()
    assert everywhere(list(nodes), 1) == ("anew", 7, Decimal("0"))
    assert not parked(nodes.target)


def test_a_row_that_is_tried_again_comes_though_its_changes_are_purged(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    made = swap(lab, list(nodes))
    nodes.target.execute("alter table t add constraint short check (length(v) < 5)")
    nodes.source.execute("update t set v = 'much too long', n = n + 1 where id = 1")
    made.settle()
    nodes.source.execute("delete from pgherd.delta_public_t")
    nodes.target.execute("delete from pgherd.delta_public_t; alter table t drop constraint short")
    try_again(nodes.target)
    made.settle()
    assert everywhere(list(nodes), 1) == ("much too long", 101, Decimal("1.5"))


def between(made: Lab, source: str, target: str) -> Counts:
    """Run the link from one to another."""
    ways = [runner for runner in made.sync() if (runner.link.source.name, runner.link.target.name) == (source, target)]
    return ways[0].run().counts


@pytest.mark.parametrize("order", ["image first", "gains first"])
def test_what_is_counted_on_a_row_that_is_not_everywhere_counts_once(
    masters: list[Node], lab: Build, order: str
) -> None:
    made = swap(lab, masters)
    masters[0].execute("insert into t values (9, 'new', 7)")
    between(made, "m1", "m2")
    masters[1].execute("update t set n = n + 100, price = price + 0.5 where id = 9")
    if order == "image first":
        between(made, "m2", "m1")
        masters[0].execute("update t set v = 'newer', n = n + 1000 where id = 9")
        between(made, "m1", "m3")
        assert masters[2].execute("select v, n from t where id = 9") == [("newer", 1007)]
    else:
        between(made, "m2", "m3")
        assert parked(masters[2]) == [{"n": 100, "price": 0.5}]
        masters[1].execute("update t set n = n + 10000 where id = 9")
        between(made, "m2", "m3")
        assert parked(masters[2]) == [{"n": 10100, "price": 0.5}]
        between(made, "m2", "m1")
        masters[0].execute("update t set v = 'newer', n = n + 1000 where id = 9")
    made.settle()
    total = 1107 if order == "image first" else 11107
    assert everywhere(masters, 9) == ("newer", total, Decimal("0.5"))
    assert not parked(masters[2])
    masters[2].execute("update t set n = n + 1 where id = 9")
    made.settle()
    assert everywhere(masters, 9)[1] == total + 1


@pytest.mark.parametrize("seed", range(FIRST + 2, FIRST + 4))
def test_new_rows_that_all_change_before_they_are_everywhere_add_up(masters: list[Node], lab: Build, seed: int) -> None:
    """In any order: rows are made, counted on and written over on all masters, and batches go between any two."""
    made, chance = swap(lab, masters), random.Random(seed)
    totals: dict[int, int] = {}
    for step in range(60):
        node, other = chance.sample(masters, 2)
        key = chance.choice([*totals, 0])
        match chance.choice(["make", "count", "count", "rewrite", "run", "run", "run"]):
            case "make":
                totals[100 + step] = 100
                node.execute("insert into t values (%s, 'made', 100)", [100 + step])
            case "count" if node.execute("update t set n = n + %s where id = %s returning 1", [step, key]):
                totals[key] += step
            case "rewrite":
                node.execute("update t set v = %s where id = %s", [f"{node.name}, {step}", key])
            case "run":
                between(made, node.name, other.name)
    made.settle()
    for node in masters:
        assert dict(node.execute("select id, n from t where id >= 100")) == totals, f"seed {seed}: {node}"
        assert not parked(node)
    assert len({tuple(rows(node)) for node in masters}) == 1, f"seed {seed}"

"""swap: two masters converge, whoever wrote what when, on every server version."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from replicator.change import Counts
from replicator.errors import SchemaMismatch
from replicator.model import Strategy, Sync, SyncType, Topology
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.wait import until

TABLE = "create table t (id int primary key, v text)"


def swap(lab: Build, pair: Pair, **options: object) -> Lab:
    for node in pair:
        node.execute(TABLE)
    pair.source.execute("insert into t select i, 'v' from generate_series(1, 10) i")
    made = lab([pair.source, pair.target], SyncType.SWAP, **options)
    made.settle()
    assert rows(pair.source) == rows(pair.target)
    return made


def test_both_ways(pair: Pair, lab: Build) -> None:
    made = swap(lab, pair)
    pair.source.execute("update t set v = 'a' where id = 1; insert into t values (11, 'a'); delete from t where id = 3")
    pair.target.execute("update t set v = 'b' where id = 2; insert into t values (12, 'b'); delete from t where id = 4")
    assert made.run() == Counts(inserted=2, updated=2, deleted=2)
    assert rows(pair.source) == rows(pair.target)
    assert made.run() == Counts()
    assert ("(1,a)",) in rows(pair.target)
    assert ("(2,b)",) in rows(pair.source)


@pytest.mark.parametrize(
    ("strategy", "winner"), [(Strategy.LATEST, "second"), (Strategy.SOURCE, "first"), (Strategy.TARGET, "second")]
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_conflict_has_one_winner(
    nodes: Pair, lab: Build, strategy: Strategy, winner: str, order: tuple[int, int]
) -> None:
    made = swap(lab, nodes, strategy=strategy)
    nodes.source.execute("update t set v = 'first' where id = 1")
    nodes.target.execute("update t set v = 'second' where id = 1")
    runners = made.sync()
    counts = runners[order[0]].run().counts + runners[order[1]].run().counts
    assert counts.conflicts == 1
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    assert (f"(1,{winner})",) in rows(nodes.source)
    (noted,) = _ledger(nodes)
    loser = "first" if winner == "second" else "second"
    assert sorted(image["v"] for image in noted[:2]) == sorted([winner, loser])
    assert noted[2:] == ("U", "U", str(strategy))


def _ledger(nodes: Pair) -> list[tuple[Any, ...]]:
    """Both masters' ledgers: winner, loser, what was done on the one and on the other side, by which rule."""
    query = (
        "select case when incoming_wins then incoming_row else local_row end,"
        " case when incoming_wins then local_row else incoming_row end, incoming_op::text, local_op::text, rule"
        " from pgherd.conflict order by id"
    )
    return [row for node in nodes for row in node.execute(query)]


def test_a_later_write_beats_a_fast_clock(nodes: Pair, lab: Build) -> None:
    made = swap(lab, nodes)
    log = "pgherd.delta_public_t"
    nodes.source.execute("update t set v = 'from the future' where id = 1")
    nodes.source.execute(f"update {log} set changed_at = clock_timestamp() + interval '1 hour'")
    made.settle()
    nodes.target.execute("update t set v = 'later' where id = 1")
    nodes.source.execute("update t set v = 'unrelated' where id = 2")
    made.settle()
    assert ("(1,later)",) in rows(nodes.source)
    assert rows(nodes.source) == rows(nodes.target)
    # Where the log rows of a key are gone the floor remains: nothing local counts as older than what has arrived.
    newest = nodes.source.value(f"select max(changed_at) from {log} where origin is null")
    nodes.target.execute(f"delete from {log}")
    nodes.target.execute("update t set v = 'newest' where id = 1")
    assert nodes.target.value(f"select changed_at from {log}") >= newest


def test_delete_against_update(nodes: Pair, lab: Build) -> None:
    made = swap(lab, nodes)
    nodes.source.execute("delete from t where id = 1")
    nodes.target.execute("update t set v = 'kept' where id = 1")
    nodes.target.execute("update t set v = 'lost' where id = 2")
    nodes.source.execute("delete from t where id = 2")
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    assert ("(1,kept)",) in rows(nodes.source)
    assert ("(2,lost)",) not in rows(nodes.source)
    noted = _ledger(nodes)
    assert len(noted) == 2
    assert ({"id": 1, "v": "kept"}, None, "D", "U", "latest") in noted
    assert (None, {"id": 2, "v": "lost"}, "D", "U", "latest") in noted


def _arrive_while_open(nodes: Pair, made: Lab, application: psycopg.Connection) -> Counts:
    """Run the link to the target while an application's transaction is open there; commit that once the link waits."""
    link = made.sync()[0]
    result: list[Counts] = []
    thread = threading.Thread(target=lambda: result.append(link.run().counts))
    thread.start()
    waiting = "select count(*) from pg_locks where not granted"
    until(lambda: nodes.target.value(waiting) or not thread.is_alive(), 10, "the link waits, or is done")
    application.commit()
    thread.join()
    return result[0]


def test_a_local_write_in_flight_is_waited_for(nodes: Pair, lab: Build) -> None:
    made = swap(lab, nodes)
    nodes.source.execute("update t set v = 'earlier' where id = 1")
    with nodes.target.connect() as application:
        application.autocommit = False
        application.execute("update t set v = 'later' where id = 1")
        assert _arrive_while_open(nodes, made, application).conflicts == 1
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    assert ("(1,later)",) in rows(nodes.source)


def test_an_insert_in_flight_meets_a_deletion_of_its_key(nodes: Pair, lab: Build) -> None:
    made = swap(lab, nodes)
    with nodes.target.connect() as application:
        application.autocommit = False
        application.execute("insert into t values (99, 'earlier')")
        nodes.source.execute("insert into t values (99, 'x')")
        nodes.source.execute("delete from t where id = 99")
        _arrive_while_open(nodes, made, application)
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    assert nodes.source.value("select count(*) from t where id = 99") == 0


def test_an_insert_in_flight_meets_an_insert_of_its_key(nodes: Pair, lab: Build) -> None:
    made = swap(lab, nodes)
    nodes.source.execute("insert into t values (99, 'earlier')")
    with nodes.target.connect() as application:
        application.autocommit = False
        application.execute("insert into t values (99, 'later')")
        assert _arrive_while_open(nodes, made, application).conflicts == 1
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    assert ("(99,later)",) in rows(nodes.source)


def test_truncate_empties_both(nodes: Pair, lab: Build) -> None:
    made = swap(lab, nodes)
    nodes.target.execute("truncate t")
    nodes.target.execute("insert into t values (7, 'again')")
    made.settle()
    assert rows(nodes.source) == rows(nodes.target) == [("(7,again)",)]


def test_masters_that_differ_are_not_overwritten(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
        node.execute("insert into t values (1, %s)", [node.name])
    made = lab(list(nodes), SyncType.SWAP)
    with pytest.raises(SchemaMismatch, match=r"both masters hold rows of public\.t"):
        made.sync()[0].prepare()
    assert rows(nodes.source) != rows(nodes.target)


def test_an_empty_lead_is_filled(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    nodes.target.execute("insert into t values (1, 'x')")
    lab(list(nodes), SyncType.SWAP).settle()
    assert rows(nodes.source) == [("(1,x)",)]


@pytest.mark.parametrize("flows", [True, False])
def test_makedelta_lets_rows_flow_onward(node_factory: NodeFactory, lab: Build, flows: bool) -> None:
    one, two, slave = (node_factory(name, schema=TABLE) for name in ("one", "two", "slave"))
    made = lab([one, two], SyncType.SWAP, makedelta=flows)
    made.topology = _with_slave(made.topology, two, slave)
    made.settle("onward")
    made.settle()
    one.execute("insert into t values (1, 'x')")
    two.execute("insert into t values (2, 'local')")
    made.settle()
    made.settle("onward")
    assert rows(slave) == ([("(1,x)",), ("(2,local)",)] if flows else [("(2,local)",)])


def _with_slave(topology: Topology, node: Node, slave: Node) -> Topology:
    herd = replace(topology.herds["h"], name="there", database=node.name)
    sync = Sync(name="onward", type=SyncType.PUSHDELTA, herd="there", targets=(slave.name,))
    return Topology(
        databases={**topology.databases, slave.name: slave.database},
        herds={**topology.herds, "there": herd},
        syncs={**topology.syncs, "onward": sync},
    )


def _writer(node: Node, seed: int, count: int) -> None:
    chance = random.Random(seed)
    with node.connect() as connection:
        for _ in range(count):
            key = chance.randrange(12)
            statement = chance.choice(
                (
                    "insert into t values (%(k)s, %(v)s) on conflict (id) do update set v = excluded.v",
                    "insert into t values (%(k)s, %(v)s) on conflict do nothing",
                    "delete from t where id = %(k)s",
                    "update t set v = %(v)s where id = %(k)s",
                )
            )
            connection.execute(statement, {"k": key, "v": f"{node.name}{chance.random()}"})


@pytest.mark.parametrize("seed", range(5))
def test_concurrent_writers_converge(nodes: Pair, lab: Build, seed: int) -> None:
    made = swap(lab, nodes, strategy=list(Strategy)[seed % 3])
    writers = [threading.Thread(target=_writer, args=(node, seed * 10 + i, 300)) for i, node in enumerate(nodes * 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        made.run()
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)

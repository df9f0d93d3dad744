"""What waits with a parked key: everything that happens to it later, in order, one way and between masters."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from replicator import repair
from replicator.ledger import Filters, find
from replicator.model import SyncType
from replicator.purge import State, purge_once
from replicator.repair import Parked
from replicator.signals import Stop
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, Pair

TABLE = "create table t (id int primary key, v text)"
STRICT = "alter table t add constraint short check (length(v) < 5)"
TOO_LONG = "much too long"


def lab_of(lab: Build, nodes: Sequence[Node], kind: SyncType) -> Lab:
    for node in nodes:
        node.execute(TABLE)
    nodes[0].execute("insert into t select i, 'v' from generate_series(1, 6) i")
    made = lab(list(nodes), kind)
    made.settle()
    nodes[1].execute(STRICT)
    return made


def parked(made: Lab) -> list[Parked]:
    return list(repair.find(made.topology, made.install, made.connector).parked)


def retry(made: Lab) -> None:
    repair.retry(made.topology, made.install, made.connector, [row.name for row in parked(made)])


def settle(made: Lab) -> None:
    """Let a new daemon move all there is."""
    made.close()
    made.runners.clear()
    most = 20
    while made.run().rows and most:
        most -= 1


@pytest.mark.parametrize("kind", [SyncType.PUSHDELTA, SyncType.SWAP])
def test_later_changes_wait_in_order(nodes: Pair, lab: Build, kind: SyncType) -> None:
    made = lab_of(lab, nodes, kind)
    nodes.source.execute("update t set v = %s where id <= 4", [TOO_LONG])
    settle(made)
    assert [(row.key["id"], row.attempts) for row in parked(made)] == [(1, 1), (2, 1), (3, 1), (4, 1)]
    # 1 is mended, 2 goes, 3 becomes 30, 4 changes twice; 5 is not parked and flows.
    nodes.source.execute("update t set v = 'ok' where id in (1, 5); delete from t where id = 2")
    settle(made)
    nodes.source.execute("update t set id = 30, v = 'key' where id = 3; update t set v = 'x' where id = 4")
    nodes.source.execute("update t set v = 'last' where id = 4")
    settle(made)
    there = dict(nodes.target.execute("select id, v from t"))
    assert there == {1: "v", 2: "v", 3: "v", 4: "v", 5: "ok", 6: "v", 30: "key"}
    waiting = {row.key["id"]: row.row and row.row["v"] for row in parked(made)}
    assert waiting == {1: "ok", 2: None, 3: None, 4: "last"}
    retry(made)
    settle(made)
    assert not parked(made)
    assert rows(nodes.target) == rows(nodes.source)
    assert not find(made.topology, made.install, made.connector, Filters()).conflicts


def test_a_key_that_is_refused_again_keeps_its_name_and_counts(nodes: Pair, lab: Build) -> None:
    made = lab_of(lab, nodes, SyncType.PUSHDELTA)
    nodes.source.execute("update t set v = %s where id = 1", [TOO_LONG])
    settle(made)
    (before,) = parked(made)
    retry(made)
    settle(made)
    (after,) = parked(made)
    assert (after.name, after.first_at, after.attempts, after.retry) == (before.name, before.first_at, 2, False)


@pytest.mark.parametrize("tried_again", [True, False])
def test_a_parked_change_is_not_taken_for_known(nodes: Pair, lab: Build, tried_again: bool) -> None:
    """The target writes its row without having the source's: that is a conflict, and nobody loses unnoticed."""
    made = lab_of(lab, nodes, SyncType.SWAP)
    nodes.source.execute("update t set v = %s where id = 1", [TOO_LONG])
    settle(made)
    nodes.target.execute("update t set v = 'here' where id = 1")
    settle(made)
    assert rows(nodes.source)[0] == ("(1,here)",)
    (conflict,) = find(made.topology, made.install, made.connector, Filters()).conflicts
    assert (conflict.node, conflict.ending, conflict.losers[0].node) == ("source", "target", "source")
    if tried_again:
        retry(made)
    else:
        repair.drop(made.topology, made.install, made.connector, [row.name for row in parked(made)])
    settle(made)
    assert not parked(made)
    assert rows(nodes.source) == rows(nodes.target)


def test_what_waits_longer_than_the_log_is_not_forgotten(nodes: Pair, lab: Build) -> None:
    made = lab_of(lab, nodes, SyncType.SWAP)
    nodes.source.execute("update t set v = %s where id = 1", [TOO_LONG])
    nodes.source.execute("delete from t where id = 2")
    nodes.target.execute(
        "insert into pgherd.parked (sync, source, schema_name, table_name, key, sqlstate, error)"
        """ values ('s', 'source', 'public', 't', '{"id": 2}', '00000', 'held')"""
    )
    settle(made)
    assert len(parked(made)) == 2
    generations: State = {}
    for _ in range(4):
        nodes.source.execute("update t set v = 'y' where id = 6")
        nodes.target.execute("update t set v = 'z' where id = 5")
        settle(made)
        purge_once(made.topology, made.install, made.connector, generations, stop=Stop())
    assert nodes.source.value("select count(*) from pgherd.delta_public_t where k1 = 1") == 0
    nodes.target.execute("alter table t drop constraint short")
    nodes.source.execute("insert into t values (99, 'x'); delete from t where id = 99")  # so writers are kept out
    retry(made)
    settle(made)
    assert not parked(made)
    assert rows(nodes.source) == rows(nodes.target)

"""The floor: no change counts as older, not even one of a transaction that began before the floor was raised."""

from __future__ import annotations

from datetime import timedelta

import pytest

from replicator.model import SyncType
from tests.fixtures.lab import Build
from tests.fixtures.nodes import Pair

TABLE = "create table t (id int primary key, v text)"


@pytest.mark.parametrize("statement", ["insert into t values (7, 'late')", "truncate t"])
def test_a_change_is_later_than_the_floor_however_old_its_snapshot(nodes: Pair, lab: Build, statement: str) -> None:
    for node in nodes:
        node.execute(TABLE)
    lab(list(nodes), SyncType.SWAP).settle()
    nodes.source.execute("insert into t values (1, 'here')")
    with nodes.source.connect() as application:
        application.execute("begin isolation level repeatable read; select 1 from t")
        nodes.source.execute("update pgherd.node set floor = clock_timestamp() + interval '1 hour'")
        application.execute(statement)
        application.execute("commit")
    ((later,),) = nodes.source.execute(
        "select l.changed_at - n.floor from pgherd.delta_public_t l, pgherd.node n order by l.seq desc limit 1"
    )
    assert later == timedelta(microseconds=1)


@pytest.mark.pg("10,18")
def test_the_floor_that_triggers_see_never_goes_back(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute(TABLE)
    lab(list(nodes), SyncType.SWAP).settle()
    seen = "select timestamptz 'epoch' + last_value * interval '1 microsecond' from pgherd.floor"
    high = nodes.source.value("update pgherd.node set floor = '2090-01-02 03:04:05.678901+00' returning floor")
    assert nodes.source.value(seen) == high
    with nodes.source.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("set session_replication_role = replica")
        connection.execute("update pgherd.node set floor = floor + interval '1 hour'")
    assert nodes.source.value(seen) == high + timedelta(hours=1)
    nodes.source.execute("update pgherd.node set floor = floor + interval '1 second'")
    assert nodes.source.value(seen) == high + timedelta(hours=1)

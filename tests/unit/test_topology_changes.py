"""What differs between topologies, in what order, and what a step leaves on nodes; all pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from replicator.errors import InvalidTopology
from replicator.model import Capture, Database, DbGroup, Herd, Role, Sync, SyncType, TableName, Topology
from replicator.topology import Kind, captured, changes, users
from replicator.topology.changes import changed, leftovers

A, B, H = (TableName("public", name) for name in ("accounts", "branches", "history"))
MASTER, SLAVE, MASTER2 = (Database(name=name, dbname="test1", host=name) for name in ("master", "slave", "master2"))


def topology(*values: Database | DbGroup | Herd | Sync) -> Topology:
    def of(kind: type) -> dict:
        return {value.name: value for value in values if isinstance(value, kind)}

    return Topology(databases=of(Database), dbgroups=of(DbGroup), herds=of(Herd), syncs=of(Sync))


ALPHA = Herd(name="alpha", database="master", tables=(A, B))
BETA = Herd(name="beta", database="master", tables=(H,))
GAMMA = Herd(name="gamma", database="master2", tables=(A, B))
COPIES = DbGroup(name="copies", members=("slave", "master2"))
PUSH = Sync(name="push", type=SyncType.PUSHDELTA, herd="alpha", targets=("slave",))
COPY = Sync(name="copy", type=SyncType.FULLCOPY, herd="beta", targets=("copies",))
SWAP = Sync(name="swap", type=SyncType.SWAP, herd="gamma", targets=("master",), makedelta=True)
ALL = topology(MASTER, SLAVE, MASTER2, COPIES, ALPHA, BETA, GAMMA, PUSH, COPY, SWAP)


def without(*names: str) -> Topology:
    fields = ("databases", "dbgroups", "herds", "syncs")
    return topology(*(v for field in fields for v in getattr(ALL, field).values() if v.name not in names))


def with_(value: Database | DbGroup | Herd | Sync) -> Topology:
    fields = ("databases", "dbgroups", "herds", "syncs")
    return topology(*({**{v.name: v for f in fields for v in getattr(ALL, f).values()}, value.name: value}).values())


def test_nothing_differs_from_itself_whatever_its_ids():
    numbered = replace(ALL, databases={n: replace(d, id=7) for n, d in ALL.databases.items()})
    assert changes(numbered, ALL) == []


def test_what_is_referred_to_comes_first_and_goes_last():
    assert [str(change) for change in changes(topology(), ALL)] == [
        "create database master",
        "create database slave",
        "create database master2",
        "create dbgroup copies",
        "create herd alpha",
        "create herd beta",
        "create herd gamma",
        "create sync push",
        "create sync copy",
        "create sync swap",
    ]
    gone = [change.object for change in changes(ALL, topology())]
    assert gone[:3] == ["sync push", "sync copy", "sync swap"]
    assert gone[-3:] == ["database master", "database slave", "database master2"]


def test_updates_come_before_deletions():
    """A group lets go of a database before the database is deleted."""
    desired = without("master2", "gamma", "swap", "copies")
    desired = replace(desired, dbgroups={"copies": DbGroup(name="copies", members=("slave",))})
    found = [str(change) for change in changes(ALL, desired)]
    assert found == ["update dbgroup copies", "delete sync swap", "delete herd gamma", "delete database master2"]


@pytest.mark.parametrize(
    ("value", "diff"),
    [
        (replace(SLAVE, port=5433), ("- port: 5432", "+ port: 5433")),
        (replace(SLAVE, options={"sslmode": "require"}), ("+ options.sslmode: require",)),
        (replace(SLAVE, active=False), ("- active: true", "+ active: false")),
        (replace(SLAVE, capture=Capture.WAL), ("- capture: triggers", "+ capture: wal")),
        (replace(COPIES, members=("slave",)), ("- member: master2",)),
        (replace(ALPHA, tables=(A, B, H)), ("+ table: public.history",)),
        (replace(ALPHA, tables=(B, A)), ("~ order",)),
        (replace(ALPHA, sequences=(TableName("S", "q"),)), ("+ sequence: S.q",)),
        (replace(PUSH, checktime=timedelta(minutes=1)), ("+ checktime: 0:01:00",)),
        (replace(PUSH, targets=("slave", "master2")), ("+ target: master2",)),
        (replace(PUSH, type=SyncType.FULLCOPY), ("- type: pushdelta", "+ type: fullcopy")),
    ],
    ids=lambda x: x.name if hasattr(x, "name") else "",
)
def test_an_update_shows_what_goes_and_what_comes(value, diff):
    (change,) = changes(ALL, with_(value))
    assert change.kind is Kind.UPDATE
    assert change.diff == diff


def test_a_creation_shows_all_lines():
    (change,) = changes(without("push"), ALL)
    assert change.before_lines == ()
    assert change.after_lines == (
        "type: pushdelta",
        "herd: alpha",
        "target: slave",
        "strategy: latest",
        "makedelta: false",
        "autokick: true",
        "onetimecopy: empty",
        "copymethod: diff",
        "ddl: none",
        "paused: false",
    )


def test_changes_lead_where_they_were_planned_to():
    for current, desired in ((topology(), ALL), (ALL, topology()), (without("push", "alpha"), without("copy"))):
        assert changes(changed(current, changes(current, desired)), desired) == []


def test_a_plan_for_something_else_is_refused():
    plan = changes(ALL, with_(replace(PUSH, paused=True)))
    with pytest.raises(InvalidTopology, match=r"sync push was changed meanwhile.*Plan again"):
        changed(with_(replace(PUSH, makedelta=True)), plan)
    with pytest.raises(InvalidTopology, match="sync push was changed meanwhile"):
        changed(without("push"), plan)


def test_sources_log_what_is_pushed_or_copied_and_all_members_what_is_swapped():
    assert captured(ALL) == {"master": {A, B, H}, "slave": set(), "master2": {A, B}}
    assert captured(without("swap")) == {"master": {A, B, H}, "slave": set(), "master2": set()}


def left(desired: Topology) -> set[tuple[object, ...]]:
    return {(x.sync, x.database.name, x.source, x.tables) for x in leftovers(ALL, desired)}


def test_a_removed_push_leaves_positions_only_where_another_sync_still_logs():
    assert left(without("push")) == {("push", "slave", "master", None)}


def test_a_removed_swap_leaves_positions_both_ways_and_logs_nobody_else_reads():
    assert left(without("swap")) == {
        ("swap", "master", "master2", None),
        ("swap", "master2", "master", None),
        ("swap", "master2", None, (A, B)),
    }


def test_a_removed_copy_leaves_its_log_and_a_position_on_each_target():
    assert left(without("copy")) == {
        ("copy", "slave", "master", None),
        ("copy", "master2", "master", None),
        ("copy", "master", None, (H,)),
    }


def test_removing_all_that_read_a_log_leaves_it_once_for_each():
    found = left(without("push", "swap"))
    assert ("push", "master", None, (A, B)) in found
    assert ("swap", "master", None, (A, B)) in found


def test_a_table_taken_out_of_a_herd_leaves_its_own_positions():
    assert left(with_(replace(ALPHA, tables=(A,)))) == {("push", "slave", "master", (B,))}
    alone = topology(MASTER, SLAVE, ALPHA, PUSH)
    smaller = topology(MASTER, SLAVE, replace(ALPHA, tables=(A,)), PUSH)
    assert {(x.database.name, x.source, x.tables) for x in leftovers(alone, smaller)} == {
        ("slave", "master", (B,)),
        ("master", None, (B,)),
    }


def test_a_target_taken_out_of_a_group_leaves_its_position():
    assert left(with_(replace(COPIES, members=("slave",)))) == {("copy", "master2", "master", None)}


def test_a_herd_moved_to_another_database_leaves_everything_behind():
    moved = topology(MASTER, SLAVE, MASTER2, replace(ALPHA, database="master2"), PUSH)
    found = {(x.database.name, x.source) for x in leftovers(topology(MASTER, SLAVE, MASTER2, ALPHA, PUSH), moved)}
    assert found == {("slave", "master"), ("master", None)}


@pytest.mark.parametrize(
    "value",
    [
        replace(PUSH, paused=True),
        replace(PUSH, checktime=timedelta(seconds=1)),
        replace(PUSH, type=SyncType.SWAP),
        replace(ALPHA, tables=(B, A)),
        replace(ALPHA, tables=(A, B, TableName("public", "new"))),
        replace(SLAVE, port=5433),
    ],
    ids=["paused", "checktime", "swap", "order", "more", "moved"],
)
def test_other_changes_leave_nothing(value):
    base = topology(MASTER, SLAVE, ALPHA, PUSH)
    fields = {v.name: v for v in (MASTER, SLAVE, ALPHA, PUSH)}
    assert leftovers(base, topology(*({**fields, value.name: value}).values())) == []


def test_a_log_of_rows_is_left_when_only_touches_are_needed_from_now_on():
    base = topology(MASTER, SLAVE, ALPHA, PUSH)
    copied = topology(MASTER, SLAVE, ALPHA, replace(PUSH, type=SyncType.FULLCOPY))
    assert [(x.database.name, x.tables) for x in leftovers(base, copied)] == [("master", (A, B))]


def test_users_are_named():
    assert users(ALL, "database", "master2") == ["dbgroup copies", "herd gamma"]
    assert users(ALL, "database", "slave") == ["dbgroup copies", "sync push"]
    assert users(ALL, "dbgroup", "copies") == ["sync copy"]
    assert users(ALL, "herd", "alpha") == ["sync push"]
    assert users(ALL, "sync", "push") == []


def test_a_slave_of_a_swap_keeps_what_it_has_of_a_lead_that_stays_a_master():
    group = DbGroup(name="masters", members=("master", "master2", "slave"), roles={"slave": Role.TARGET})
    swap = replace(SWAP, targets=("masters",))
    before = topology(MASTER, SLAVE, MASTER2, group, GAMMA, swap)
    after = topology(MASTER, SLAVE, MASTER2, group, replace(GAMMA, database="master"), swap)
    assert leftovers(before, after) == []
    fewer = topology(MASTER, SLAVE, MASTER2, replace(group, members=("master", "master2")), GAMMA, swap)
    assert {(one.database.name, one.source) for one in leftovers(before, fewer)} == {
        ("slave", "master"),
        ("slave", "master2"),
    }

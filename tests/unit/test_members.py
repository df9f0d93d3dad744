"""Databases that come into syncs and dbgroups and leave them: what the declared topology becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator.errors import InvalidTopology, NotFound, UsageError
from replicator.model import Database, DbGroup, Herd, Install, Role, Sync, SyncType, TableName, Topology
from replicator.topology.leaving import departing, refuse_role_changes
from replicator.topology.members import with_lead, with_node, without_node
from replicator.validate import contradictions

T = TableName("public", "t")


def topology(*targets: str, type: SyncType = SyncType.SWAP, groups: tuple[DbGroup, ...] = ()) -> Topology:
    return Topology(
        databases={name: Database(name=name, dbname=name, id=ord(name) - 96) for name in "abcde"},
        dbgroups={group.name: group for group in groups},
        herds={"h": Herd(name="h", database="a", tables=(T,))},
        syncs={"s": Sync(name="s", type=type, herd="h", targets=targets)},
    )


def names(found: Topology) -> list[str]:
    return [database.name for database in found.members(found.syncs["s"])]


def slaves(found: Topology) -> tuple[str, ...]:
    return found.slaves(found.syncs["s"])


GROUP = DbGroup(name="g", members=("a", "b", "c"), roles={"a": Role.SOURCE, "c": Role.TARGET})


def test_a_database_becomes_a_target_or_a_member() -> None:
    assert with_node(topology("b"), "s", "c", None).syncs["s"].targets == ("b", "c")
    grouped = topology("g", groups=(GROUP,))
    assert with_node(grouped, "s", "d", None).dbgroups["g"].members == ("a", "b", "c", "d")
    assert with_node(grouped, "g", "d", Role.TARGET).dbgroups["g"].roles["d"] is Role.TARGET
    assert with_node(grouped, "s", "c", Role.TARGET) == grouped
    assert with_node(grouped, "s", "a", None) == grouped


def test_a_slave_of_a_swap_without_dbgroup_gets_one() -> None:
    found = with_node(topology("b"), "s", "c", Role.TARGET)
    assert found.syncs["s"].targets == ("b", "s_slaves")
    assert (names(found), slaves(found)) == (["a", "b", "c"], ("c",))
    assert contradictions(found) == []
    assert without_node(found, "s", "c") == replace(topology("b"), dbgroups={})


def test_a_dbgroup_that_others_use_is_left_alone() -> None:
    shared = topology("b", "g", groups=(DbGroup(name="g", members=("c",)),))
    other = Sync(name="other", type=SyncType.PUSHDELTA, herd="h", targets=("g",))
    shared = replace(shared, syncs={**shared.syncs, "other": other})
    assert with_node(shared, "s", "d", None).syncs["s"].targets == ("b", "g", "d")
    with pytest.raises(UsageError, match="which sync other writes to as well; take it out of all"):
        without_node(shared, "s", "c")
    assert without_node(shared, "g", "c").dbgroups["g"].members == ()


def test_a_herd_moves_to_the_next_master() -> None:
    found = without_node(topology("g", groups=(replace(GROUP, members=("a", "b", "c", "d")),)), "s", "a")
    assert found.herds["h"].database == "b"
    assert (names(found), slaves(found)) == (["b", "c", "d"], ("c",))
    assert contradictions(found) == []


@pytest.mark.parametrize(
    ("made", "place", "database", "why"),
    [
        (topology("b"), "s", "a", "would be left with 1 master"),
        (topology("b", type=SyncType.PUSHDELTA), "s", "a", "a is the source of sync s"),
        (topology("b", type=SyncType.PUSHDELTA), "s", "b", "b is the only target of sync s"),
        (topology("b"), "s", "d", "d takes no part in s; members: a, b"),
        (topology("b"), "x", "d", "no sync or dbgroup is called 'x'"),
    ],
)
def test_who_cannot_leave(made: Topology, place: str, database: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        without_node(made, place, database)


def test_who_cannot_come() -> None:
    with pytest.raises(NotFound, match=r"no database is called 'z'; known: a, b, c, d, e\. Declare it"):
        with_node(topology("b"), "s", "z", None)
    with pytest.raises(UsageError, match="sync s is a pushdelta, which has one source"):
        with_node(topology("b", type=SyncType.PUSHDELTA), "s", "c", Role.SOURCE)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (topology("g", groups=(replace(GROUP, roles={"a": Role.TARGET}),)), "a has the role target, and herd h"),
        (
            topology("g", type=SyncType.PUSHDELTA, groups=(replace(GROUP, roles={"b": Role.SOURCE}),)),
            "b has the role source, and a pushdelta has one source, a",
        ),
        (topology("g", groups=(DbGroup(name="g", members=("b",), roles={"b": Role.TARGET}),)), "a is its only master"),
        (topology("g", "c", groups=(GROUP,)), "another one in the targets themselves"),
        (topology("g", "k", groups=(GROUP, DbGroup(name="k", members=("c",)))), "another one in dbgroup k"),
        (topology("g", groups=(replace(GROUP, roles={"e": Role.TARGET}),)), "it gives e a role and does not list it"),
    ],
)
def test_roles_that_cannot_be(made: Topology, why: str) -> None:
    (problem,) = contradictions(made)
    assert why in problem


def test_a_role_is_not_changed_under_way() -> None:
    before = topology("g", groups=(GROUP,))
    after = with_node(before, "g", "c", Role.SOURCE)
    with pytest.raises(InvalidTopology, match="c is a slave in it and cannot become a master as it is"):
        refuse_role_changes(before, after)
    with pytest.raises(InvalidTopology, match="c is a master in it and cannot become a slave as it is"):
        refuse_role_changes(after, before)
    refuse_role_changes(before, without_node(before, "s", "c"))


def test_only_masters_that_leave_a_swap_that_goes_on_are_asked_for() -> None:
    before = topology("g", groups=(replace(GROUP, members=("a", "b", "c", "d")),))

    def asked(after: Topology) -> list[str]:
        return [f"{link.source.name}>{link.target.name}" for link in departing(before, after, Install())]

    assert asked(without_node(before, "s", "d")) == ["d>a", "d>b"]
    assert asked(without_node(before, "s", "c")) == []
    assert asked(without_node(before, "s", "a")) == ["a>b", "a>d"]
    assert asked(replace(before, syncs={})) == []
    assert asked(before) == []


def test_a_lead_that_gives_way_to_another_stays_a_master() -> None:
    listed = with_node(topology("b"), "s", "c", Role.TARGET)
    moved = with_lead(listed, replace(listed.herds["h"], database="b"))
    assert (names(moved), slaves(moved)) == (["b", "c", "a"], ("c",))
    assert [link.source.name for link in moved.links(Install(), moved.syncs["s"]) if link.led] == ["b"]
    grouped = topology("g", groups=(GROUP,))
    assert with_lead(grouped, replace(grouped.herds["h"], database="b")).syncs == grouped.syncs
    push = topology("b", "c", type=SyncType.PUSHDELTA)
    assert with_lead(push, replace(push.herds["h"], database="b")).syncs == push.syncs
    assert contradictions(moved) == []

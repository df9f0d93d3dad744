"""Declarations that cannot work, found without a server, all at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from replicator.hook import Hook, Moment
from replicator.model import Capture, Database, DbGroup, Herd, Role, Sync, SyncType, TableName, Topology
from replicator.validate import affected, contradictions

T = TableName("public", "t")
U = TableName("public", "u")


def topology(*syncs: Sync, **herds: str) -> Topology:
    """Databases a to d; a herd per keyword, of table t on the database named."""
    return Topology(
        databases={name: Database(name=name, dbname=name) for name in "abcd"},
        herds={name: Herd(name=name, database=database, tables=(T,)) for name, database in herds.items()},
        syncs={sync.name: sync for sync in syncs},
    )


def push(name: str, herd: str, target: str, *, makedelta: bool = False) -> Sync:
    return Sync(name=name, type=SyncType.PUSHDELTA, herd=herd, targets=(target,), makedelta=makedelta)


def swap(name: str, herd: str, target: str, *, makedelta: bool = False) -> Sync:
    return Sync(name=name, type=SyncType.SWAP, herd=herd, targets=(target,), makedelta=makedelta)


def copy(name: str, herd: str, *targets: str) -> Sync:
    return Sync(name=name, type=SyncType.FULLCOPY, herd=herd, targets=targets)


@pytest.mark.parametrize(
    "good",
    [
        topology(),
        topology(push("s", "ha", "b"), ha="a"),
        topology(push("s1", "ha", "b", makedelta=True), push("s2", "hb", "c", makedelta=True), ha="a", hb="b"),
        topology(swap("g", "hb", "a", makedelta=True), push("s", "ha", "c"), ha="a", hb="b"),
        topology(push("s1", "ha", "b"), push("s2", "hb", "a"), ha="a", hb="b"),
        topology(swap("s1", "ha", "b"), swap("s2", "hb", "c"), swap("s3", "hc", "a"), ha="a", hb="b", hc="c"),
        topology(push("s1", "ha", "c", makedelta=True), push("s2", "hb", "c", makedelta=True), ha="a", hb="b"),
        topology(copy("s1", "ha", "b", "c"), push("s2", "hb", "d"), ha="a", hb="b"),
    ],
    ids=["nothing", "push", "cascade", "how-to", "both ways", "triangle", "into one", "copy cascade"],
)
def test_what_can_work_is_let_through(good: Topology):
    assert contradictions(good) == []


@pytest.mark.parametrize(
    ("bad", "names", "way"),
    [
        (
            topology(push("s1", "ha", "b", makedelta=True), push("s2", "hb", "a", makedelta=True), ha="a", hb="b"),
            "s1, s2",
            "a -> b -> a",
        ),
        (
            topology(push("s1", "ha", "b", makedelta=True), push("s2", "hb", "a"), ha="a", hb="b"),
            "s1, s2",
            "a -> b -> a",
        ),
        (
            topology(
                push("s1", "ha", "b", makedelta=True),
                push("s2", "hb", "c", makedelta=True),
                push("s3", "hc", "a"),
                ha="a",
                hb="b",
                hc="c",
            ),
            "s1, s2, s3",
            "a -> b -> c -> a",
        ),
        (
            topology(swap("g", "ha", "b", makedelta=True), push("s", "hb", "a"), ha="a", hb="b"),
            "g, s",
            "a -> b -> a",
        ),
        (
            topology(swap("g1", "ha", "b", makedelta=True), swap("g2", "hb", "a"), ha="a", hb="b"),
            "g1, g2",
            "a -> b -> a",
        ),
    ],
    ids=["two", "one forwards", "three", "swap and push", "two swaps"],
)
def test_rows_that_come_back_to_their_author_are_refused(bad: Topology, names: str, way: str):
    (problem,) = contradictions(bad)
    assert problem.startswith(f"syncs {names}: ")
    assert way in problem
    assert "public.t" in problem


def test_a_circle_of_other_tables_is_none():
    good = topology(push("s1", "ha", "b", makedelta=True), push("s2", "hb", "a", makedelta=True), ha="a", hb="b")
    good = replace(good, herds={**good.herds, "hb": Herd(name="hb", database="b", tables=(U,))})
    assert contradictions(good) == []


def test_a_full_copy_over_another_syncs_rows_is_refused():
    bad = topology(push("s1", "ha", "c"), copy("s2", "hb", "c"), ha="a", hb="b")
    assert contradictions(bad) == [
        "sync s2: its full copy of public.t would overwrite what sync s1 writes on c;"
        " leave the table out of one of them"
    ]


def by_wal(topology: Topology, *names: str) -> Topology:
    decoded = {name: replace(topology.databases[name], capture=Capture.WAL) for name in names}
    return replace(topology, databases={**topology.databases, **decoded})


def test_changes_may_come_from_the_wal_of_a_database_that_syncs_only_read():
    assert contradictions(by_wal(topology(push("s", "ha", "b"), copy("c", "ha", "d"), ha="a"), "a", "c")) == []


def test_a_swap_over_a_wal_is_refused():
    members = "is captured from its WAL, and a swap needs triggers, which write versions and counters; capture it by"
    assert contradictions(by_wal(topology(swap("s", "ha", "b"), ha="a"), "a", "b")) == [
        f"sync s: {name} {members} triggers, or make the sync a pushdelta" for name in "ab"
    ]


def test_writing_where_changes_come_from_the_wal_is_refused():
    written = "which is captured from its WAL, and what it writes there would be captured too; capture it by triggers"
    onward = topology(push("s1", "ha", "b", makedelta=True), push("s2", "hb", "c"), ha="a", hb="b")
    assert contradictions(by_wal(onward, "b")) == [f"sync s1: it writes to b, {written}"]
    assert contradictions(by_wal(topology(copy("s", "ha", "b", "c"), ha="a"), "c")) == [
        f"sync s: it writes to c, {written}"
    ]
    led = topology(Sync(name="s", type=SyncType.SWAP, herd="ha", targets=("g",)), ha="a")
    led = replace(led, dbgroups={"g": DbGroup(name="g", members=("b", "c"), roles={"c": Role.TARGET})})
    assert contradictions(by_wal(led, "c")) == [f"sync s: it writes to c, {written}"]


def test_every_fault_is_told_at_once():
    bad = Topology(
        databases={
            "a": Database(name="a", dbname="x", port=0, options={"password": "hunter2", "colour": "red"}),
            "b": Database(name="b", dbname="x", options={"host": "h"}),
        },
        dbgroups={"g": DbGroup(name="g", members=("a", "a"))},
        herds={
            "h": Herd(name="h", database="a", tables=(T, U, T)),
            "empty": Herd(name="empty", database="a"),
        },
        syncs={
            "s": Sync(name="s", type=SyncType.PUSHDELTA, herd="h", targets=("b", "b"), checktime=timedelta()),
            "e": Sync(name="e", type=SyncType.PUSHDELTA, herd="empty", targets=("b",)),
        },
    )
    found = contradictions(bad)
    for part in (
        "database a: port 0 is not between 1 and 65535",
        "database a: option password is a secret",
        "database a: libpq knows no connection option 'colour'",
        "database b: option host has a place of its own",
        "dbgroup g: it lists a twice",
        "herd h: it lists public.t twice",
        "sync s: it lists target b twice",
        "sync s: checktime must be longer",
        "sync e: herd empty is empty",
    ):
        assert sum(part in problem for problem in found) == 1, part
    assert len(found) == 9
    assert "hunter2" not in str(found)


def test_names_that_lead_nowhere_are_told_with_bad_databases():
    bad = topology(push("s", "nothing", "b"))
    bad = replace(bad, databases={**bad.databases, "a": Database(name="a", dbname="a", port=99999)})
    assert len(contradictions(bad)) == 2


def test_only_syncs_that_need_more_of_a_server_are_affected():
    base = topology(push("s", "ha", "b"), push("other", "hb", "c"), ha="a", hb="b")

    def with_sync(sync: Sync) -> Topology:
        return replace(base, syncs={**base.syncs, "s": sync})

    def with_herd(*tables: TableName) -> Topology:
        return replace(base, herds={**base.herds, "ha": Herd(name="ha", database="a", tables=tables)})

    sync = base.syncs["s"]
    assert affected(topology(), base) == {"s", "other"}
    for same in (
        base,
        with_sync(replace(sync, paused=True, makedelta=True, checktime=timedelta(seconds=1))),
        replace(base, databases={name: replace(d, id=9) for name, d in base.databases.items()}),
        replace(base, syncs={"other": base.syncs["other"]}),
    ):
        assert affected(base, same) == set()
    for other in (
        with_sync(replace(sync, type=SyncType.SWAP)),
        with_sync(replace(sync, targets=("b", "c"))),
        with_herd(T, U),
        replace(base, databases={**base.databases, "a": Database(name="a", dbname="a", port=1)}),
        by_wal(base, "a"),
    ):
        assert affected(base, other) == {"s"}
    assert affected(with_herd(T, U), base) == set()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"strategy": "b, d"}, "'d' is neither a strategy"),
        ({"strategy": "lattest"}, "do you mean latest?"),
        ({"strategy": "b, a, b"}, "lists b twice"),
        ({"strategy": "perl:f"}, "'perl:f' is no strategy"),
        ({"strategies": ((U, "source"),)}, "a strategy for public.u, which is not in herd ha"),
        ({"strategies": ((T, "python:f"),)}, "does not name a Python function"),
        ({"counters": ("u.n",)}, "counter u.n is of a table that is not in herd ha"),
        ({"type": SyncType.PUSHDELTA, "counters": ("n",)}, "only a swap has conflicts"),
        ({"sequence_step": 24}, "sequence_step is 24; choose a power of two from 2 to 1024"),
        ({"sequence_step": 2, "targets": ("b", "c", "d")}, "it has 4 masters, and sequence_step is 2"),
    ],
)
def test_what_a_sync_says_of_conflicts_must_be_possible(fields: dict[str, object], why: str):
    (problem,) = contradictions(topology(replace(swap("s", "ha", "b"), **fields), ha="a"))
    assert why in problem


@pytest.mark.parametrize(
    ("hooks", "why"),
    [
        ([{"call": "perl:f"}], "hook h: found 'perl:f', expected sql:FUNCTION"),
        ([{"tables": ("public.u",), "moment": Moment.AFTER_TXN}], "hook h: public.u is no table of herd ha"),
        ([{}, {}], "it has two hooks called h"),
    ],
)
def test_hooks_must_be_possible(hooks: list[dict[str, Any]], why: str):
    made = tuple(Hook(**{"name": "h", "moment": Moment.AFTER_SYNC, "call": "sql:f", **fields}) for fields in hooks)
    (problem,) = contradictions(topology(replace(push("s", "ha", "b"), hooks=made), ha="a"))
    assert why in problem


def test_a_swap_of_three_with_a_slave_on_each_is_let_through():
    masters = replace(swap("s", "ha", "b", makedelta=True), targets=("b", "c"))
    assert contradictions(topology(masters, push("p", "hb", "d"), ha="a", hb="b")) == []

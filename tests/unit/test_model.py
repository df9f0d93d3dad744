"""The nouns: names are read and quoted, a topology is resolved into links, or says what contradicts it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.model import Database, DbGroup, Herd, Install, Sync, SyncType, TableName, Topology

INSTALL = Install()
PARTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


def topology() -> Topology:
    """The how-to's: one master with a slave, a second master, history to both by a group."""
    names = ("test1_master", "test1_slave", "test1_master2")
    databases = {name: Database(name=name, dbname="test1", id=number) for number, name in enumerate(names, 1)}
    history = DbGroup(name="test1_history", members=("test1_slave", "test1_master2"))
    herds = {
        "alpha": Herd(name="alpha", database="test1_master", tables=(TableName("public", "pgbench_accounts"),)),
        "beta": Herd(name="beta", database="test1_master", tables=(TableName("public", "pgbench_history"),)),
        "gamma": Herd(name="gamma", database="test1_master2", tables=(TableName("public", "pgbench_accounts"),)),
    }
    syncs = (
        Sync(name="delta", type=SyncType.PUSHDELTA, herd="alpha", targets=("test1_slave",)),
        Sync(name="copy", type=SyncType.FULLCOPY, herd="beta", targets=("test1_history",)),
        Sync(name="swap", type=SyncType.SWAP, herd="gamma", targets=("test1_master",)),
    )
    return Topology(databases, {"test1_history": history}, herds, {sync.name: sync for sync in syncs})


def pairs(sync: str, declared: Topology | None = None) -> list[tuple[str, str]]:
    declared = declared or topology()
    return [(link.source.name, link.target.name) for link in declared.links(INSTALL, declared.syncs[sync])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accounts", TableName("public", "accounts")),
        ("Accounts", TableName("public", "Accounts")),
        ("sales.accounts", TableName("sales", "accounts")),
        ('sales."Odd.Name"', TableName("sales", "Odd.Name")),
        ('"Odd Schema".accounts', TableName("Odd Schema", "accounts")),
        ('"say ""hello"""', TableName("public", 'say "hello"')),
        ("  accounts ", TableName("public", "accounts")),
    ],
)
def test_table_names_are_read(text: str, expected: TableName) -> None:
    assert TableName.parse(text) == expected


@pytest.mark.parametrize("text", ["", " ", ".", "a.", ".b", "a.b.c", '"open', 'a."b', '""', 'mid"dle'])
def test_what_is_no_table_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a table name"):
        TableName.parse(text)


@given(PARTS, PARTS)
def test_printed_table_names_are_read_back(schema: str, name: str) -> None:
    table = TableName(schema, name)
    assert TableName.parse(str(table)) == table


def test_default_schema_is_the_callers() -> None:
    assert TableName.parse("t", "sales") == TableName("sales", "t")


def test_installs_have_schemas_of_their_own() -> None:
    assert Install().schema == "pgherd"
    assert Install("east").schema == "pgherd_east"


@given(st.lists(st.text(), max_size=3))
def test_lock_keys_are_signed_64_bit(parts: list[str]) -> None:
    assert -(2**63) <= INSTALL.lock_key(*parts) < 2**63


def test_lock_keys_tell_installs_and_parts_apart() -> None:
    keys = {
        INSTALL.lock_key("sync", "a"),
        INSTALL.lock_key("sync", "b"),
        INSTALL.lock_key("sync", "a", ""),
        INSTALL.lock_key("synca"),
        Install("east").lock_key("sync", "a"),
    }
    assert len(keys) == 5
    assert INSTALL.lock_key("sync", "a") == Install().lock_key("sync", "a")


def test_database_names_its_place_in_messages() -> None:
    database = Database(name="master", dbname="test1", host="127.0.0.241")
    assert str(database) == "master (test1 at 127.0.0.241:5432)"
    assert "local socket" in str(Database(name="master", dbname="test1"))


def test_pushdelta_goes_from_source_to_target() -> None:
    assert pairs("delta") == [("test1_master", "test1_slave")]


def test_a_group_stands_for_its_members() -> None:
    assert pairs("copy") == [("test1_master", "test1_slave"), ("test1_master", "test1_master2")]


def test_swap_goes_both_ways_and_the_source_leads() -> None:
    assert pairs("swap") == [("test1_master2", "test1_master"), ("test1_master", "test1_master2")]
    declared = topology()
    assert {link.lead for link in declared.links(INSTALL, declared.syncs["swap"])} == {"test1_master2"}


def test_source_and_repeats_are_left_out_of_targets() -> None:
    declared = topology()
    targets = ("test1_slave", "test1_history", "test1_master")
    declared = replace(declared, syncs={"delta": replace(declared.syncs["delta"], targets=targets)})
    assert pairs("delta", declared) == [("test1_master", "test1_slave"), ("test1_master", "test1_master2")]


def test_all_links_are_those_of_every_sync() -> None:
    assert [str(link) for link in topology().all_links(INSTALL)] == [
        "delta: test1_master -> test1_slave",
        "copy: test1_master -> test1_slave",
        "copy: test1_master -> test1_master2",
        "swap: test1_master2 -> test1_master",
        "swap: test1_master -> test1_master2",
    ]


def test_links_carry_their_tables() -> None:
    (link,) = topology().links(INSTALL, topology().syncs["delta"])
    assert link.tables == (TableName("public", "pgbench_accounts"),)


def test_a_sound_topology_contradicts_nothing() -> None:
    assert topology().contradictions() == []


def broken(kind: str, name: str, **changes: object) -> list[str]:
    declared = topology()
    things = dict(getattr(declared, kind))
    things[name] = replace(things[name], **changes)
    return replace(declared, **{kind: things}).contradictions()


def test_unknown_names_are_named_with_what_is_known() -> None:
    (problem,) = broken("syncs", "delta", targets=("test1_slaev",))
    assert problem.startswith("sync delta: no database or dbgroup is called 'test1_slaev'; known: ")
    assert "test1_slave" in problem
    (problem,) = broken("syncs", "delta", herd="alhpa")
    assert "no herd is called 'alhpa'" in problem
    (problem,) = broken("herds", "beta", database="gone")
    assert problem.startswith("herd beta: no database is called 'gone'")
    (problem,) = broken("dbgroups", "test1_history", members=("test1_slave", "gone"))
    assert problem.startswith("dbgroup test1_history: no database is called 'gone'")


def test_a_sync_needs_a_target_besides_its_source() -> None:
    (problem,) = broken("syncs", "delta", targets=("test1_master",))
    assert problem == "sync delta: it has no target other than its source; name a database or a dbgroup"


def test_a_swap_joins_any_number() -> None:
    assert not broken("syncs", "swap", targets=("test1_master", "test1_slave"))


def test_every_contradiction_is_told_at_once() -> None:
    declared = topology()
    declared = replace(
        declared,
        databases={**declared.databases, "1st": Database(name="1st", dbname="x")},
        dbgroups={**declared.dbgroups, "test1_slave": DbGroup(name="test1_slave", members=("test1_slave",))},
        syncs={**declared.syncs, "lost": Sync(name="lost", type=SyncType.SWAP, herd="none", targets=("nowhere",))},
    )
    problems = declared.contradictions()
    assert [problem.split("; known")[0] for problem in problems] == [
        "database '1st': a name is a letter, then letters, digits or underscores, 63 at most",
        "dbgroup test1_slave: a database has that name already; give the group another",
        "sync lost: no herd is called 'none'",
        "sync lost: no database or dbgroup is called 'nowhere'",
    ]

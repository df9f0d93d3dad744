"""The conflict ledger on real masters: of every kind, looked at, counted, judged again, restored, forgotten."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from replicator import ledger
from replicator.catalog import Catalog
from replicator.cli import main
from replicator.errors import LockedOut, NotFound, ReplicatorError, RowRejected
from replicator.ledger import Conflict, Filters, Found
from replicator.model import Strategy, SyncType, TableName
from replicator.purge import purge_once
from replicator.signals import Stop
from tests.fixtures.cli import Result
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Pair
from tests.fixtures.servers import free_port

TABLE = """
create table t (id int primary key, v text);
create table wide (
    id numeric primary key, number bigint generated always as identity, price numeric(30, 10), at timestamptz,
    list int[], data jsonb, small char(4), raw bytea, real float8
);
"""
LATER, SOONER = "second", "first"


def masters(lab: Build, pair: Pair, **options: object) -> Lab:
    for node in pair:
        node.execute(TABLE)
    pair.source.execute("insert into t select i, 'v' from generate_series(1, 10) i")
    made = lab(list(pair), SyncType.SWAP, ("t", "wide"), **options)
    made.settle()
    return made


def find(made: Lab, **filters: object) -> Found:
    return ledger.find(made.topology, made.install, made.connector, Filters(**filters))


def only(made: Lab, **filters: object) -> Conflict:
    """The one conflict, with its images."""
    found = find(made, **filters)
    assert found.silent == {}
    (conflict,) = found.conflicts
    return ledger.show(made.topology, made.install, made.connector, conflict.name)


def restore(made: Lab, name: str) -> ledger.Restored:
    return ledger.restore(made.topology, made.install, made.connector, name)


KINDS = {
    "insert/insert": (f"insert into t values (20, '{SOONER}')", f"insert into t values (20, '{LATER}')"),
    "update/update": (f"update t set v = '{SOONER}' where id = 1", f"update t set v = '{LATER}' where id = 1"),
    "update/delete": (f"update t set v = '{SOONER}' where id = 1", "delete from t where id = 1"),
    "delete/update": ("delete from t where id = 1", f"update t set v = '{LATER}' where id = 1"),
    "delete/delete": ("delete from t where id = 1", "delete from t where id = 1"),
    "insert/update": (
        f"delete from t where id = 1; insert into t values (1, '{SOONER}')",
        f"update t set v = '{LATER}' where id = 1",
    ),
}


@pytest.mark.pg("10,18")
def test_every_kind_from_both_sides(pair: Pair, lab: Build) -> None:
    made = masters(lab, pair)
    for kind, (sooner, later) in KINDS.items():
        for first, second in (pair, reversed(pair)):
            before = {conflict.name for conflict in find(made).conflicts}
            first.execute(sooner)
            second.execute(later)
            made.settle()
            (found,) = [one for one in find(made).conflicts if one.name not in before]
            # The source's link goes first, so it is on the target that the two meet.
            expected = kind if first is pair.source else "/".join(reversed(kind.split("/")))
            assert (found.kind, found.node, found.ending) == (expected, pair.target.name, second.name)
            assert rows(pair.source) == rows(pair.target)
            restored = restore(made, found.name)
            assert bool(restored.did) is (kind != "delete/delete")
            made.settle()
            assert rows(pair.source) == rows(pair.target)
            here = [text for (text,) in rows(pair.source) if SOONER in text]
            assert len(here) == ("delete" not in kind.split("/")[0])
            pair.source.execute("delete from t; insert into t values (1, 'v')")
            made.settle()
    counted = ledger.stats(made.topology, made.install, made.connector, Filters())
    assert counted.total == len(find(made).conflicts) == 2 * len(KINDS)
    assert sum(counted.days.values()) == counted.total
    group = ledger.Group("s", TableName("public", "t"), "update/update", pair.source.name)
    assert counted.groups[group] == 1


def clash(nodes: Pair, made: Lab, key: int = 1) -> Conflict:
    """Have the target's later update of a row win over the source's."""
    nodes.source.execute("update t set v = %s where id = %s", [SOONER, key])
    nodes.target.execute("update t set v = %s where id = %s", [LATER, key])
    made.settle()
    return only(made, key=[str(key)], limit=1)


def test_filters_narrow_what_is_found(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    one, two = clash(nodes, made), clash(nodes, made, 2)
    assert [each.name for each in find(made).conflicts] == [two.name, one.name]
    assert [each.name for each in find(made, limit=1).conflicts] == [two.name]
    assert only(made, key=["1"]).name == only(made, key=["id=1"]).name == one.name
    assert not find(made, key=["v=1"]).conflicts
    assert not find(made, key=["1", "2"]).conflicts
    assert not find(made, table=TableName("public", "wide")).conflicts
    assert len(find(made, table=TableName("public", "t"), syncs=["s"]).conflicts) == 2
    assert not find(made, syncs=["another"]).conflicts
    assert not find(made, since=datetime.now(UTC) + timedelta(hours=1)).conflicts
    assert only(made, since=two.decided_at).name == two.name
    assert (one.incoming.row, one.local.row) == ({"id": 1, "v": SOONER}, {"id": 1, "v": LATER})


MIRROR = """
insert into pgherd.conflict (sync, schema_name, table_name, key, source, incoming_op, incoming_at, incoming_row,
                             local_op, local_at, local_row, incoming_wins, rule)
values ('s', 'public', 't', '{"id": 1}', %s, 'U', %s, null, 'U', %s, null, true, 'latest')
"""


def test_a_conflict_that_both_masters_noted_is_one(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    conflict = clash(nodes, made)
    nodes.source.execute(MIRROR, [nodes.target.name, conflict.local.at, conflict.incoming.at])
    (found,) = find(made).conflicts
    assert (found.name, found.also) == (conflict.name, ("source:1",))
    assert ledger.stats(made.topology, made.install, made.connector, Filters()).total == 1
    told = ledger.simulate(made.topology, made.install, made.connector, Strategy.SOURCE, Filters())
    assert (told.total, told.changed, len(told.changes)) == (1, 1, 1)


def test_a_master_that_is_down_is_named(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    conflict = clash(nodes, made)
    away = replace(made.topology.databases["source"], port=free_port())
    made.topology = replace(made.topology, databases={**made.topology.databases, "source": away})
    found = find(made)
    assert [each.name for each in found.conflicts] == [conflict.name]
    assert list(found.silent) == ["source"]
    assert ledger.prune_all(made.topology, made.install, made.connector, timedelta(days=1)).given == {"target": 0}


def test_simulation_tells_what_would_have_ended_otherwise(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    conflict = clash(nodes, made)
    nodes.target.execute("update t set v = 'a' where id = 2")
    nodes.source.execute("update t set v = 'b' where id = 2")
    made.settle()

    def changed(strategy: Strategy) -> list[str]:
        told = ledger.simulate(made.topology, made.install, made.connector, strategy, Filters(limit=10))
        assert (told.total, told.changed, told.unknown) == (2, len(told.changes), 0)
        return [each.name for each, _ in told.changes]

    assert changed(Strategy.LATEST) == []
    assert changed(Strategy.SOURCE) == [conflict.name]
    assert changed(Strategy.TARGET) == [name for name in changed_names(made) if name != conflict.name]


def changed_names(made: Lab) -> list[str]:
    return [each.name for each in find(made).conflicts]


def test_restored_again_is_nothing_to_do(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    conflict = clash(nodes, made)
    done = restore(made, conflict.name)
    assert (done.did, done.before) == ("updated", {"id": 1, "v": LATER})
    assert restore(made, conflict.name).did == ""
    made.settle()
    assert ("(1,first)",) in rows(nodes.source)
    assert len(find(made).conflicts) == 1


@pytest.mark.pg("10,18")
def test_every_value_comes_back_as_it_was(pair: Pair, lab: Build) -> None:
    made = masters(lab, pair)
    values = (
        r"12345678901234567890.1234567890, '2026-01-31 12:00:00.123456+02', '{1,NULL,3}', '{\"a\": [1.50, null]}',"
        r" 'ab', '\x00ff', 0.1"
    )
    insert = "insert into wide (id, number, price, at, list, data, small, raw, real) overriding system value values"
    pair.source.execute(f"{insert} (1.0, 77, {values})".replace('\\"', '"'))
    before = rows(pair.source, "wide")
    pair.target.execute(f"{insert} (1.0, 77, null, null, null, null, null, null, null)")
    made.settle()
    assert rows(pair.source, "wide") == rows(pair.target, "wide") != before
    conflict = only(made)
    assert restore(made, conflict.name).did == "updated"
    made.settle()
    assert rows(pair.source, "wide") == rows(pair.target, "wide") == before
    pair.source.execute("delete from wide")
    made.settle()
    assert restore(made, conflict.name).did == "inserted"
    made.settle()
    assert rows(pair.source, "wide") == rows(pair.target, "wide") == before


REFUSALS = {
    "drop table t": r"public\.t is gone",
    "alter table t drop column v": "no longer has what the image holds: column v",
    "alter table t drop constraint t_pkey, add primary key (v, id)": r"was \(id\) and is now \(id, v\)",
    "alter table t alter v type char(9)": r"public\.t cannot hold what the image has in column v",
    "alter table t alter v type varchar(2)": "the image no longer fits public.t: value too long",
    "alter table t alter v type int using 0": "the image no longer fits public.t: invalid input syntax",
    "alter table t alter v type text[] using '{}'": "the image no longer fits",
    "alter table t add check (v < 'f')": "violates check constraint",
    "create function no() returns trigger language plpgsql as 'begin return null; end';"
    " create trigger no before update on t for each row execute procedure no()": "a trigger or rule of public.t kept",
}


def test_what_does_not_fit_is_not_written(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    conflict = clash(nodes, made)
    for change, sentence in REFUSALS.items():
        nodes.target.execute(f"drop table if exists t; create table t (id int primary key, v text); {change}")
        nodes.target.execute("do $$ begin insert into t values (1, '0'); exception when others then null; end $$")
        with pytest.raises(ReplicatorError, match=sentence) as refused:
            restore(made, conflict.name)
        assert isinstance(refused.value, RowRejected) == ("check" in change), change


def test_columns_that_came_later_stay_as_they_are(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    conflict = clash(nodes, made)
    nodes.target.execute("alter table t add w text default 'new', add x int")
    assert restore(made, conflict.name).did == "updated"
    assert ("(1,first,new,)",) in rows(nodes.target)


def test_what_would_not_travel_is_not_written(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    conflict = clash(nodes, made)
    herd = replace(made.topology.herds["h"], tables=(TableName("public", "wide"),))
    made.topology = replace(made.topology, herds={"h": herd})
    with pytest.raises(ReplicatorError, match=r"no swap s carries public\.t from target any more"):
        restore(made, conflict.name)
    with pytest.raises(NotFound, match="target:999 is not in the ledger"):
        restore(made, "target:999")


def test_a_locked_row_is_not_waited_for_long(nodes: Pair, lab: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    made = masters(lab, nodes)
    conflict = clash(nodes, made)
    monkeypatch.setattr("replicator.ledger.restoring.LOCK_TIMEOUT", "50ms")
    with nodes.target.connect() as application:
        application.autocommit = False
        application.execute("update t set v = v where id = 1")
        with pytest.raises(LockedOut, match=r"its row in public\.t has been locked by others"):
            restore(made, conflict.name)


AGE = "update pgherd.conflict set decided_at = decided_at - interval '40 days' where id = %s"


def test_old_conflicts_are_pruned(nodes: Pair, lab: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicator.ledger.retention.BATCH", 2)
    made = masters(lab, nodes)
    conflicts = [clash(nodes, made, key) for key in range(1, 7)]
    for conflict in conflicts[:5]:
        nodes.target.execute(AGE, [conflict.number])
    removed = ledger.prune_all(made.topology, made.install, made.connector, timedelta(days=30))
    assert (removed.given, removed.silent) == ({"source": 0, "target": 5}, {})
    assert changed_names(made) == [conflicts[5].name]


def test_the_purge_forgets_what_is_older_than_a_hundred_days(nodes: Pair, lab: Build) -> None:
    made = masters(lab, nodes)
    old, new = clash(nodes, made), clash(nodes, made, 2)
    for _ in range(3):
        nodes.target.execute(AGE, [old.number])
    nodes.target.execute(AGE, [new.number])
    purge_once(made.topology, made.install, made.connector, {}, stop=Stop())
    assert changed_names(made) == [new.name]


Command = Callable[..., Result]


@pytest.fixture
def command(lab: Build, nodes: Pair, tmp_path: Path) -> Iterator[tuple[Command, Lab]]:
    """Runs commands against a catalog in which the lab's topology is declared."""
    made = masters(lab, nodes)
    Catalog.init(made.connector)
    with Catalog.open(made.connector, "test") as catalog:
        for database in made.topology.databases.values():
            catalog.add_database(replace(database, id=0))
        catalog.add_herd(made.topology.herds["h"])
        catalog.add_sync(made.topology.syncs["s"])
    lines = "".join(f'{key} = "{value}"\n' for key, value in made.connector.config.catalog.items())
    config = tmp_path / "replicator.toml"
    config.write_text(f"[catalog]\n{lines}")

    def run(*words: str) -> Result:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["--config", str(config), "conflicts", *words])
        return Result(" ".join(words), code, out.getvalue(), err.getvalue())

    yield run, made


MERGE = """
update pgherd.conflict set merged_row = '{"id": 1, "v": "both"}', rule = 'sql:app.merge', incoming_wins = false
where id = %s
"""


def test_what_was_merged_or_left_is_told_so(command: tuple[Command, Lab], nodes: Pair) -> None:
    run, made = command
    name = clash(nodes, made).name
    number = int(name.partition(":")[2])
    nodes.target.execute("update pgherd.conflict set rule = 'skip' where id = %s", [number])
    assert run("list").ok().out.splitlines()[1].split()[-2:] == ["neither", "skip"]
    shown = run("show", name).ok().out
    assert "Neither won by the rule skip: each node has kept its row." in shown
    assert shown.count("(kept)") == 2
    nodes.target.execute(MERGE, [number])
    assert run("list").ok().out.splitlines()[1].split()[-2:] == ["merged", "sql:app.merge"]
    shown = run("show", name).ok().out
    assert "target merged both rows into a third by the rule sql:app.merge." in shown
    assert [line.split() for line in shown.splitlines()[-3:-1]] == [
        ["id", "1", "1", "1"],
        ["*", "v", '"first"', '"second"', '"both"'],
    ]
    assert shown.splitlines()[-1].startswith(f"`replicator conflicts restore {name} --node source or target`")
    told = run("show", name, "--json").ok().json()
    assert (told["winner"], told["merged"], told["incoming"]["row"]["v"]) == ("merged", {"id": 1, "v": "both"}, "first")
    assert run("stats").ok().out.splitlines()[1].split()[-2:] == ["merged", "1"]
    (instead,) = run("simulate", "--strategy", "latest", "--json").ok().json()["changes"]
    assert (instead["winner"], instead["instead"]) == ("merged", "target")
    assert "Say whose is to come back: --node source or target." in run("restore", name).exits(2).err
    done = run("restore", name, "--node", "source").ok().out
    assert done.startswith(f"Restored {name}: updated public.t id=1 on target.")
    assert "there is no function public.nope" in run("simulate", "--strategy", "sql:nope").exits(1).err


def test_the_story_of_a_lost_write(command: tuple[Command, Lab], nodes: Pair) -> None:
    run, made = command
    assert run("list").ok().out == "No conflict is recorded.\n"
    assert run("stats").ok().out == "No conflict is recorded.\n"
    name = clash(nodes, made).name
    heads, line = run("list", "s", "--table", "t", "--since", "1h", "--key", "id=1").ok().out.splitlines()
    assert heads.split() == ["Name", "Decided", "Sync", "Table", "Key", "Kind", "Winner", "Rule"]
    assert line.split()[0] == name
    assert line.split()[-6:] == ["s", "public.t", "id=1", "update/update", "target", "latest"]
    (listed,) = run("list", "--json").ok().json()
    assert (listed["name"], listed["kind"], listed["winner"], listed["also"]) == (name, "update/update", "target", [])
    shown = run("show", name).ok().out
    assert f"{name}: sync s, public.t, id=1\nupdate/update, decided on target at" in shown
    assert "target won by the rule latest." in shown
    assert [line.split() for line in shown.splitlines()[-2:]] == [["id", "1", "1"], ["*", "v", '"first"', '"second"']]
    assert run("show", name, "--json").ok().json()["incoming"]["row"] == {"id": 1, "v": "first"}
    assert run("stats").ok().out.splitlines()[1].split() == ["s", "public.t", "update/update", "target", "1"]
    told = run("simulate", "--strategy", "source").ok().out
    assert told.startswith("By the strategy source, 1 of 1 conflicts would have ended otherwise.\n")
    assert told.splitlines()[-1].split()[-1] == "source"
    assert "'coin' is neither a strategy" in run("simulate", "--strategy", "coin").exits(2).err
    assert "do you mean latest?" in run("simulate", "--strategy", "lattest").exits(2).err
    done = run("restore", name).ok().out
    assert done.startswith(f"Restored {name}: updated public.t id=1 on target. Sync s takes it on.\n")
    assert '  v = "second"\n' in done
    assert "Nothing to restore" in run("restore", name).ok().out
    made.settle()
    assert ("(1,first)",) in rows(nodes.source)
    assert "give an age" in run("prune", "--older-than", "none").exits(2).err
    nodes.target.execute(AGE, [int(name.partition(":")[2])])
    pruned = "Removed conflicts decided more than 30d ago: 0 on source, 1 on target.\n"
    assert run("prune", "--older-than", "30d").ok().out == pruned
    assert "is not in the ledger (any more)" in run("show", name).exits(2).err
    assert "no sync is called 'x'" in run("list", "x").exits(2).err
    with Catalog.open(made.connector, "test") as catalog:
        catalog.add_sync(replace(made.topology.syncs["s"], name="push", type=SyncType.PUSHDELTA))
    assert "sync push is a pushdelta: only a swap has conflicts." in run("list", "push").exits(2).err

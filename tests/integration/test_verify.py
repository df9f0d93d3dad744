"""verify finds every planted difference and nothing else, on any pair of versions, whatever the load and the lag."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from replicator import progress
from replicator.config import Config
from replicator.errors import Interrupted
from replicator.model import Capture, Strategy, SyncType, TableName, Topology
from replicator.postgres import Connector
from replicator.relations import describe
from replicator.signals import Stop
from replicator.verify import TableComparison, Verdict, What, verify_sync
from replicator.verify.division import divide
from replicator.verify.flight import Ends
from tests.fixtures import pgbench
from tests.fixtures.links import INSTALL, Links, linked, names, topology
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Server
from tests.fixtures.wait import until

BIG = "create table t (id int primary key, v text)"
FILL = "insert into t select i, 'value ' || i from generate_series(1, 20000) i"
"""Enough rows for several ranges."""


@pytest.fixture
def plain(tmp_path: Path) -> Connector:
    return Connector(Config(run_dir=tmp_path, log_file=tmp_path / "log"))


def compare(declared: Topology, connector: Connector, *, patience: float = 0, **options: Any) -> list[TableComparison]:
    return verify_sync(
        declared,
        INSTALL,
        declared.syncs["test"],
        connector,
        report=lambda _: None,
        stop=Stop(),
        patience=patience,
        **options,
    )


def only(found: list[TableComparison]) -> TableComparison:
    (comparison,) = found
    return comparison


def quietly(node: Node, query: str) -> None:
    """Change rows behind the triggers' back."""
    with node.connect() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(query)


def shown(comparison: TableComparison) -> set[tuple[str, str]]:
    return {(difference.what.name, str(difference.key.get("id"))) for difference in comparison.listed}


# --- what is equal, what is not


def test_equal_tables_are_equal(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(BIG)
    nodes.source.execute(FILL)
    declared = topology(nodes, names("t"))
    with linked(declared, plain):
        found = only(compare(declared, plain))
    assert found.verdict is Verdict.EQUAL
    assert found.source_digest == found.target_digest
    assert found.source_digest is not None
    assert found.source_digest.rows == 20000
    assert (found.differences, found.behind, found.moving, found.listed) == (0, 0, 0, ())


PLANTED = [
    ("update t set v = 'x' where id = 77", {("DIFFERS", "77")}),
    ("delete from t where id = 5", {("MISSING", "5")}),
    ("insert into t values (20001, 'tail')", {("EXTRA", "20001")}),
    ("insert into t values (-1, 'head')", {("EXTRA", "-1")}),
    ("delete from t where id in (1, 20000)", {("MISSING", "1"), ("MISSING", "20000")}),
    ("update t set v = null where id = 9", {("DIFFERS", "9")}),
    (
        "update t set v = 'value ' || case id when 3 then 4 else 3 end where id in (3, 4)",
        {("DIFFERS", "3"), ("DIFFERS", "4")},
    ),
    ("update t set id = 30000 where id = 10", {("MISSING", "10"), ("EXTRA", "30000")}),
]


@pytest.mark.parametrize(("change", "expected"), PLANTED, ids=[change for change, _ in PLANTED])
def test_each_kind_of_difference_is_found(
    nodes: Pair, plain: Connector, change: str, expected: set[tuple[str, str]]
) -> None:
    for node in nodes:
        node.execute(BIG)
    nodes.source.execute(FILL)
    declared = topology(nodes, names("t"))
    with linked(declared, plain):
        quietly(nodes.target, change)
        found = only(compare(declared, plain))
    assert found.verdict is Verdict.DIFFERS
    assert found.differences == len(expected)
    assert shown(found) == expected


def test_rows_at_the_bounds_of_ranges_are_compared(nodes: Pair, plain: Connector) -> None:
    """A checker that cuts a table must not lose what lies on a cut, nor count it twice."""
    for node in nodes:
        node.execute(BIG)
    nodes.source.execute(FILL)
    declared = topology(nodes, names("t"))
    with linked(declared, plain):
        with plain.open(nodes.source.database, autocommit=True) as connection:
            relation = describe(connection, names("t"))[names("t")[0]]
            bounds = [int(bound) for bound in divide(connection, relation, ("id",)).bounds]
        assert len(bounds) > 2
        assert bounds == sorted(bounds)
        wanted = sorted({id_ for bound in bounds for id_ in (bound - 1, bound, bound + 1)})
        quietly(nodes.target, f"update t set v = 'x' where id = any('{{{','.join(map(str, wanted))}}}')")
        found = only(compare(declared, plain, limit=1000))
    assert found.differences == len(wanted)
    assert shown(found) == {("DIFFERS", str(id_)) for id_ in wanted}


def test_a_difference_names_the_columns_and_both_values(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute("create table t (id int primary key, a text, b float8, c text)")
    nodes.source.execute("insert into t values (1, 'same', 0.1, repeat('x', 5000) || 'left')")
    declared = topology(nodes, names("t"))
    with linked(declared, plain):
        quietly(nodes.target, "update t set b = null, c = repeat('x', 5000) || 'right'")
        (difference,) = only(compare(declared, plain)).listed
    assert difference.what is What.DIFFERS
    assert difference.key == {"id": "1"}
    by_name = {column.column: (column.source, column.target) for column in difference.columns}
    assert by_name.keys() == {"b", "c"}
    assert by_name["b"] == ("0.1", None)
    ours, theirs = by_name["c"]
    assert ours is not None
    assert theirs is not None
    assert ours.endswith("left")
    assert theirs.endswith("right")
    assert len(ours) < 100


def test_no_more_than_the_limit_is_listed_but_all_are_counted(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(BIG)
    nodes.source.execute(FILL)
    declared = topology(nodes, names("t"))
    with linked(declared, plain):
        quietly(nodes.target, "update t set v = 'x' where id % 10 = 0")
        found = only(compare(declared, plain, limit=3))
    assert (found.differences, len(found.listed)) == (2000, 3)


@pytest.mark.pg("all")
def test_keys_of_every_kind_on_every_pair_of_versions(pair: Pair, plain: Connector) -> None:
    kinds = {
        "number": ("numeric", "i"),
        "words": ("text", "'k' || i || repeat('é', i % 3)"),
        "ids": ("uuid", "md5(i::text)::uuid"),
        "times": ("timestamptz", "'2020-01-01Z'::timestamptz + i * interval '1 min'"),
        "raws": ("bytea", "decode(md5(i::text), 'hex')"),
        "Moods": ("mood", "('{low,mid,high}'::mood[])[i]"),
        "names": ("domained", "'it''s \\ ' || i"),
        "reals": ("float8", "i / 10.0"),
    }
    for node, moods in zip(pair, ("'low', 'mid', 'high'", "'high', 'low', 'mid'"), strict=True):
        node.execute(f"create type mood as enum ({moods}); create domain domained as text")
        for name, (kind, _) in kinds.items():
            node.execute(f'create table "{name}" (k {kind} primary key, v text)')
        node.execute('create table composite (a text collate "C", b int, "Odd ""C" int, v text, primary key (b, a))')
    for name, (_, value) in kinds.items():
        rows = 3 if name == "Moods" else 400
        pair.source.execute(f"""insert into "{name}" select {value}, 'v' from generate_series(1, {rows}) i""")
    pair.source.execute("insert into composite select i::text, i % 7, i, 'v' from generate_series(1, 400) i")
    declared = topology(pair, names(*(f'"{name}"' for name in kinds), "composite"))
    with linked(declared, plain):
        assert {c.verdict for c in compare(declared, plain)} == {Verdict.EQUAL}
        for name in (*kinds, "composite"):
            quietly(
                pair.target, f"""update "{name}" set v = 'x' where ctid = (select max(ctid::text)::tid from "{name}")"""
            )
        found = compare(declared, plain)
    assert [(str(c.table), c.differences) for c in found] == [(str(c.table), 1) for c in found]
    assert all(difference.columns[0].column == "v" for c in found for difference in c.listed)


def test_tables_of_odd_names_partitions_and_generated_columns(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(
            'create schema "Odd.Schema"; create table "Odd.Schema"."T ""x" ("Key %s" int primary key, "a b" text,'
            ' g int generated always as ("Key %s" * 2) stored) partition by range ("Key %s");'
            ' create table "Odd.Schema".p1 partition of "Odd.Schema"."T ""x" for values from (0) to (100);'
            ' create table "Odd.Schema".p2 partition of "Odd.Schema"."T ""x" for values from (100) to (1000)'
        )
    table = TableName("Odd.Schema", 'T "x')
    nodes.source.execute('insert into "Odd.Schema"."T ""x" select i, i::text from generate_series(1, 200) i')
    declared = topology(nodes, [table])
    with linked(declared, plain):
        assert only(compare(declared, plain)).verdict is Verdict.EQUAL
        quietly(nodes.target, 'delete from "Odd.Schema".p2 where "Key %s" = 150')
        (difference,) = only(compare(declared, plain)).listed
    assert (difference.what, difference.key) == (What.MISSING, {"Key %s": "150"})


def test_a_table_without_a_key_is_compared_as_a_multiset(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute("create table t (a int, b text)")
    nodes.source.execute("insert into t values (1, 'x'), (1, 'x'), (1, 'x'), (2, null), (3, '')")
    declared = topology(nodes, names("t"), SyncType.FULLCOPY)
    with linked(declared, plain):
        assert only(compare(declared, plain)).verdict is Verdict.EQUAL
        quietly(nodes.target, "delete from t where ctid = (select min(ctid::text)::tid from t where a = 1)")
        quietly(nodes.target, "update t set b = null where a = 3")
        found = only(compare(declared, plain))
    assert found.verdict is Verdict.DIFFERS
    rows = {(d.what, d.key["a"], d.key["b"], d.source_rows, d.target_rows) for d in found.listed}
    assert rows == {
        (What.MISSING, "1", "x", 3, 2),
        (What.MISSING, "3", "", 1, 0),
        (What.EXTRA, "3", None, 0, 1),
    }


def test_a_table_that_is_missing_or_shaped_differently_is_said_so(nodes: Pair, plain: Connector) -> None:
    nodes.source.execute("create table gone (id int primary key); create table wide (id int primary key, b int)")
    nodes.target.execute("create table wide (id int primary key)")
    found = compare(topology(nodes, names("gone", "wide")), plain)
    assert [c.verdict for c in found] == [Verdict.DIFFERS, Verdict.DIFFERS]
    assert found[0].note == "public.gone does not exist on target"
    assert "b" in found[1].note


def test_only_the_named_tables_are_compared(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute("create table t (id int primary key); create table u (id int primary key)")
    found = compare(topology(nodes, names("t", "u")), plain, tables=names("u"))
    assert [str(c.table) for c in found] == ["public.u"]


def test_sequences_are_compared_by_where_they_stand(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute("create table t (id int primary key); create sequence s; create sequence u")
    declared = topology(nodes, names("t"))
    herd = replace(declared.herds["herd"], sequences=names("s", "u", "nowhere"))
    declared = replace(declared, herds={"herd": herd})

    def standing() -> dict[str, tuple[str, str]]:
        found = compare(declared, plain, tables=names("s", "u", "nowhere"))
        return {str(c.table): (c.verdict.name, c.note) for c in found}

    nodes.source.execute("select setval('s', 7); select setval('u', 7)")
    nodes.target.execute("select setval('s', 7); select setval('u', 5)")
    found = standing()
    assert found["public.s"] == ("EQUAL", "at 7")
    assert found["public.u"] == ("BEHIND", "at 7 on source, at 5 on target")
    assert found["public.nowhere"][0] == "DIFFERS"
    nodes.target.execute("select setval('u', 9)")
    assert standing()["public.u"][0] == "DIFFERS"


# --- lag and load


def test_what_has_not_arrived_is_behind_and_not_different(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(BIG)
    nodes.source.execute(FILL)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("update t set v = 'new' where id <= 10; delete from t where id = 50")
        nodes.source.execute("insert into t values (99999, 'new')")
        quietly(nodes.target, "update t set v = 'damaged' where id = 60")
        found = only(compare(declared, plain))
        assert (found.verdict, found.differences, found.behind) == (Verdict.DIFFERS, 1, 12)
        links.run()
        found = only(compare(declared, plain))
        assert (found.verdict, found.differences, found.behind) == (Verdict.DIFFERS, 1, 0)
        quietly(nodes.target, "update t set v = 'value 60' where id = 60")
        nodes.source.execute("update t set v = 'newer' where id <= 10")
        found = only(compare(declared, plain))
        assert (found.verdict, found.differences, found.behind) == (Verdict.BEHIND, 0, 10)


def test_a_transaction_that_commits_late_is_behind(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(BIG)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links, nodes.source.connect(autocommit=False) as late:
        late.execute("insert into t values (1, 'late')")
        nodes.source.execute("insert into t values (2, 'early')")
        links.run()
        assert only(compare(declared, plain)).verdict is Verdict.EQUAL
        late.commit()
        assert only(compare(declared, plain)).behind == 1
        links.run()
        assert only(compare(declared, plain)).verdict is Verdict.EQUAL


def test_truncate_and_a_copy_that_is_due_put_every_row_on_its_way(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(BIG)
        node.execute("create table u (id int primary key); insert into u values (1)")
    nodes.source.execute(FILL)
    nodes.source.execute("insert into u values (2)")
    declared = topology(nodes, names("t"))
    with linked(declared, plain):
        nodes.source.execute("truncate t")
        found = only(compare(declared, plain))
        assert (found.verdict, found.behind) == (Verdict.BEHIND, 20000)
        found = only(compare(topology(nodes, names("u")), plain))
        assert (found.verdict, found.behind) == (Verdict.BEHIND, 1)
        assert found.note == "it has not been copied yet"


def test_it_waits_for_what_is_on_its_way(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(BIG)
    nodes.source.execute(FILL)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("update t set v = 'new'")
        waits = threading.Event()

        def arrive() -> None:
            assert waits.wait(60)
            links.run()

        engine = threading.Thread(target=arrive)
        engine.start()
        found = only(
            verify_sync(
                declared,
                INSTALL,
                declared.syncs["test"],
                plain,
                report=lambda text: waits.set() if "waiting" in text else None,
                stop=Stop(),
                patience=60,
            )
        )
        engine.join()
    assert (found.verdict, found.moving) == (Verdict.EQUAL, 0)


def test_a_fullcopy_whose_source_changed_is_behind(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute("create table t (a int)")
    declared = topology(nodes, names("t"), SyncType.FULLCOPY)
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1), (1), (2)")
        assert only(compare(declared, plain)).behind == 2
        links.run()
        assert only(compare(declared, plain)).verdict is Verdict.EQUAL
        quietly(nodes.target, "delete from t")
        assert only(compare(declared, plain)).differences == 2


@contextmanager
def driven(links: Links) -> Iterator[None]:
    """Links that run one batch after another in the background."""
    stop = Stop()

    def work() -> None:
        while not stop.wait(0.02):
            links.run()

    with ThreadPoolExecutor(1) as pool:
        engine = pool.submit(work)
        try:
            yield
        finally:
            stop.set()
        engine.result()


@pytest.mark.timeout(180)
@pytest.mark.both_captures
def test_no_false_alarm_under_load_and_a_real_difference_is_found(
    nodes: Pair, plain: Connector, capture: Capture
) -> None:
    pgbench.initialise(nodes.source)
    for name in pgbench.TABLES[:3]:
        _copy_definition(nodes, name)
    nodes.source.execute("insert into pgbench_accounts values (200000, 1, 0, '')")  # pgbench leaves this one alone
    declared = topology(nodes, names(*pgbench.TABLES[:3]), capture=capture)
    with linked(declared, plain) as links, driven(links):
        with pgbench.Traffic(nodes.source, clients=4):
            for _ in range(5):
                found = compare(declared, plain, patience=60)
                assert [(c.differences, c.behind) for c in found] == [(0, 0)] * 3, found
            quietly(nodes.target, "update pgbench_accounts set filler = 'x' where aid = 200000")
            until(lambda: _accounts(compare(declared, plain, patience=60)) == {"200000"}, 30, "the difference is found")
        until(
            lambda: [c.moving for c in compare(declared, plain, patience=60)] == [0, 0, 0], 30, "nothing moves any more"
        )
        assert [c.verdict for c in compare(declared, plain)] == [Verdict.DIFFERS, Verdict.EQUAL, Verdict.EQUAL]


def _copy_definition(nodes: Pair, name: str) -> None:
    columns = nodes.source.value(
        "select string_agg(format('%%I %%s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)"
        " from pg_attribute where attrelid = %s::regclass and attnum > 0",
        [name],
    )
    nodes.target.execute(f"create table {name} ({columns}, primary key ({columns.split()[0]}))")


def _accounts(found: list[TableComparison]) -> set[str | None]:
    return {difference.key["aid"] for difference in found[0].listed}


# --- two masters


def test_both_directions_of_a_swap_are_one_comparison(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(BIG)
    nodes.source.execute("insert into t values (1, 'a'), (2, 'b'), (3, 'c')")
    declared = topology(nodes, names("t"), SyncType.SWAP, strategy=Strategy.LATEST)
    with linked(declared, plain) as links:
        links.run()
        nodes.source.execute("update t set v = 'from source' where id = 1")
        nodes.target.execute("update t set v = 'from target' where id = 2")
        quietly(nodes.target, "update t set v = 'damaged' where id = 3")
        found = only(compare(declared, plain))
        assert (found.verdict, found.differences, found.behind) == (Verdict.DIFFERS, 1, 2)
        assert shown(found) == {("DIFFERS", "3")}
        links.run()
        quietly(nodes.target, "update t set v = 'c' where id = 3")
        assert only(compare(declared, plain)).verdict is Verdict.EQUAL


SCRIPT = """
\\set id random(1, 20000)
\\set other random(20001, 21000)
begin;
update t set v = random()::text where id = :id;
delete from t where id = :other;
insert into t values (:other, random()::text) on conflict do nothing;
commit;
"""


@pytest.mark.timeout(180)
def test_no_false_alarm_while_two_masters_write(nodes: Pair, plain: Connector, tmp_path: Path) -> None:
    for node in nodes:
        node.execute(BIG)
    nodes.source.execute(FILL)
    script = tmp_path / "script.sql"
    script.write_text(SCRIPT)
    declared = topology(nodes, names("t"), SyncType.SWAP)
    with linked(declared, plain) as links, driven(links):
        with ExitStack() as loads:
            for node in nodes:
                loads.enter_context(pgbench.Traffic(node, clients=2, rate=200, script=str(script)))
            for _ in range(5):
                found = only(compare(declared, plain, patience=60))
                assert (found.differences, found.behind) == (0, 0), found
        until(lambda: only(compare(declared, plain, patience=60)).moving == 0, 30, "nothing moves any more")
        found = only(compare(declared, plain))
        assert found.source_digest == found.target_digest


# --- dead letters, failures, interruption


def test_parked_keys_are_named_as_such(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute("create table t (id int, part text, v int, primary key (part, id))")
    nodes.target.execute("alter table t add check (v < 100)")
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, 'a ''b', 100), (2, 'b', 1)")
        links.run()
        found = only(compare(declared, plain))
    (difference,) = found.listed
    assert (found.differences, found.parked) == (1, 1)
    assert difference.parked
    assert difference.key == {"id": "1", "part": "a 'b"}


def test_a_target_that_does_not_answer_does_not_keep_others_from_being_compared(
    node_factory: NodeFactory, plain: Connector, private_server: Callable[..., Server]
) -> None:
    dead = private_server()
    nodes = [
        node_factory("master", schema=BIG),
        node_factory("slave", schema=BIG),
        node_factory("lost", schema=BIG, server=dead),
    ]
    declared = topology(nodes, names("t"))
    with linked(declared, plain):
        dead.stop("immediate")
        found = compare(declared, plain)
    assert [(c.target, c.verdict, c.exit_code) for c in found] == [
        ("slave", Verdict.EQUAL, 0),
        ("lost", Verdict.FAILED, 4),
    ]
    assert "does not answer" in found[1].note


def test_a_connection_that_breaks_is_a_failed_comparison(
    nodes: Pair, plain: Connector, proxy: Callable[[Server], Proxy]
) -> None:
    for node in nodes:
        node.execute(BIG)
    declared = topology(nodes, names("t"))
    with linked(declared, plain), nodes.target.connect() as connection:

        def cut(text: str) -> None:
            if "comparing" in text:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name like '%% verify' and datname = current_database()"
                )

        found = verify_sync(declared, INSTALL, declared.syncs["test"], plain, report=cut, stop=Stop(), patience=0)
    assert [(c.verdict, c.exit_code) for c in found] == [(Verdict.FAILED, 4)]


def test_a_stop_request_interrupts_a_long_statement(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute("create table t (id int primary key, v text); insert into t values (1, 'x')")
    declared = topology(nodes, names("t"))
    stop = Stop()
    with linked(declared, plain), nodes.source.connect(autocommit=False) as holder:
        holder.execute("lock table t in access exclusive mode")

        def later(text: str) -> None:
            if "comparing" in text:
                stop.set("test")

        with pytest.raises(Interrupted):
            verify_sync(declared, INSTALL, declared.syncs["test"], plain, report=later, stop=stop, patience=0)


def test_a_table_is_not_truncated_under_a_snapshot(nodes: Pair, plain: Connector) -> None:
    """TRUNCATE empties a table for older snapshots too, and would look like a difference."""
    for node in nodes:
        node.execute(BIG)
    declared = topology(nodes, names("t"))
    (link,) = declared.links(INSTALL, declared.syncs["test"])
    (table,) = names("t")
    with (
        linked(declared, plain),
        plain.open(link.source, autocommit=True) as source,
        plain.open(link.target, autocommit=True) as target,
        plain.open(link.target, autocommit=True) as later,
    ):
        ours, theirs = (describe(connection, [table])[table] for connection in (source, target))
        with Ends(link, None, source, target, later).look(ours, theirs):
            for node in nodes:
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    node.execute("set lock_timeout = '50ms'; truncate t")


def test_the_purge_is_kept_out_only_while_the_snapshots_are_taken(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(BIG)
    declared = topology(nodes, names("t"))
    with linked(declared, plain), nodes.source.connect() as connection:
        compare(declared, plain)
        key = INSTALL.lock_key("purge")
        assert connection.execute("select pg_try_advisory_lock(%s)", [key]).fetchone() == (True,)
        with nodes.target.connect() as other:
            assert progress.read(other, INSTALL, "test", "source") is not None


def test_a_table_that_is_narrower_on_one_side_is_compared_by_what_both_have(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute("create table t (id int primary key, v text)")
    nodes.source.execute("insert into t values (1, 'a'), (2, 'b')")
    declared = topology(nodes, names("t"))
    with linked(declared, plain):
        nodes.source.execute("alter table t add c int default 7")
        found = only(compare(declared, plain))
        assert (found.verdict, found.differences) == (Verdict.DIFFERS, 0)
        assert found.note == "equal without c, which only source has"
        nodes.target.execute("alter table t add d int")
        quietly(nodes.target, "update t set v = 'x' where id = 2")
        found = only(compare(declared, plain))
    assert found.differences == 1 and found.listed[0].columns[0].column == "v"
    assert found.note == "compared without c, which only source has and without d, which only target has"

"""Capture from the WAL: what its slot, its publication and its logs do that triggers would not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from replicator import purge
from replicator.capture import release
from replicator.capture.decoding.decoder import Decoder
from replicator.capture.decoding.mover import Mover, drain
from replicator.change import Counts
from replicator.errors import SchemaMismatch, Transient
from replicator.model import Capture, Install, SyncType
from replicator.postgres import Connector
from replicator.signals import Stop
from replicator.status import lag
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.links import linked, names, topology
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.servers import Server
from tests.fixtures.wait import until

TABLE = "create table t (id int primary key, v text)"
TRIGGERS = "select count(*) from pg_trigger where tgrelid = 't'::regclass and not tgisinternal"
SLOTS = "select count(*) from pg_replication_slots where database = current_database()"
LOGGED = "select k1, xid from pgherd.delta_public_t order by seq"
CONFIRMED = "select confirmed_flush_lsn::text from pg_replication_slots where database = current_database()"


@pytest.fixture
def capture() -> Capture:
    return Capture.WAL


def everywhere(nodes: Pair, *statements: str) -> None:
    for node in nodes:
        for statement in statements:
            node.execute(statement)


def recaptured(made: Lab, capture: Capture) -> None:
    """Go on with another way of capture, as after `replicator update db`."""
    made.close()
    made.runners.clear()
    name, database = next(iter(made.topology.databases.items()))
    databases = {**made.topology.databases, name: replace(database, capture=capture)}
    made.topology = replace(made.topology, databases=databases)


def log_id(node: Node) -> object:
    return node.value("select id from pgherd.captured where table_name = 't'")


# --- what is there, and goes


def test_nothing_is_put_on_the_tables_and_all_of_it_goes(nodes: Pair, lab: Build) -> None:
    everywhere(nodes, TABLE)
    made = lab(list(nodes))
    made.settle()
    source = nodes.source
    assert source.value(TRIGGERS) == 0
    assert source.value(SLOTS) == 1
    assert source.execute("select tablename::text from pg_publication_tables where pubname = 'pgherd'") == [("t",)]
    made.close()
    nodes.target.execute("drop schema pgherd cascade")
    with source.connect() as connection:
        release(connection, Install(), [])
    assert source.value(SLOTS) == 0
    assert source.value("select count(*) from pg_publication") == 0


@pytest.mark.parametrize(
    ("definition", "refused"),
    [
        ("create table t (id int not null unique, v text)", "replica identity"),
        ("create table t (id int primary key deferrable, v text)", "replica identity"),
        ("create table t (id int primary key, v text) partition by range (id)", "partitioned"),
        ("create table t (id int primary key, v text); alter table t replica identity nothing", "replica identity"),
    ],
)
def test_tables_of_which_the_wal_lacks_the_key_are_refused(
    nodes: Pair, lab: Build, definition: str, refused: str
) -> None:
    everywhere(nodes, definition)
    with pytest.raises(SchemaMismatch, match=refused):
        lab(list(nodes)).settle()
    nodes.source.execute("insert into t values (1, 'x')") if "partition" not in definition else None
    nodes.source.execute("update t set v = 'y'")  # nothing was published that the server would then refuse


def test_a_fullcopy_goes_by_statements(nodes: Pair, lab: Build) -> None:
    everywhere(nodes, "create table t (v text)")
    made = lab(list(nodes), SyncType.FULLCOPY)
    nodes.source.execute("insert into t values ('x')")
    made.settle()
    assert rows(nodes.target) == rows(nodes.source)
    assert nodes.source.value(SLOTS) == 0


# --- from triggers and back


def test_what_triggers_have_logged_goes_on(nodes: Pair, lab: Build) -> None:
    everywhere(nodes, TABLE)
    made = lab(list(nodes), capture=Capture.TRIGGERS)
    made.settle()
    known = log_id(nodes.source)
    nodes.source.execute("insert into t values (1, 'by triggers')")
    recaptured(made, Capture.WAL)
    made.sync()[0].prepare()
    nodes.source.execute("insert into t values (2, 'decoded')")
    assert made.run() == Counts(inserted=2)
    assert rows(nodes.target) == rows(nodes.source)
    assert log_id(nodes.source) == known
    assert nodes.source.value(TRIGGERS) == 0


def test_back_to_triggers_the_log_begins_anew(nodes: Pair, lab: Build) -> None:
    everywhere(nodes, TABLE)
    made = lab(list(nodes))
    made.settle()
    nodes.source.execute("insert into t values (1, 'not decoded yet')")
    recaptured(made, Capture.TRIGGERS)
    made.settle()
    nodes.source.execute("insert into t values (2, 'by triggers')")
    made.settle()
    assert rows(nodes.target) == rows(nodes.source)
    assert nodes.source.value(SLOTS) == 0
    assert nodes.source.value(TRIGGERS) == 2


# --- the slot


def test_the_servers_log_is_not_filled(
    private_server: Callable[..., Server], node_factory: NodeFactory, connector: Connector
) -> None:
    """The server tells of each time that it begins to decode."""
    server = private_server()
    source, target = node_factory("source", server=server, schema=TABLE), node_factory("target", schema=TABLE)
    with linked(topology([source, target], names("t"), capture=Capture.WAL), connector) as links:
        source.execute(
            "select pg_logical_slot_peek_binary_changes(slot_name, null, null, 'proto_version', '1',"
            " 'publication_names', 'pgherd') from pg_replication_slots"
        )
        begun = server.log.read_text().count("logical decoding")
        assert begun
        for number in range(3):
            source.execute("insert into t values (%s, 'x')", [number])
            links.run()
        (link,) = links.topology.links(Install(), links.sync)
        assert lag.unsent(connector, link).rows == 0
        assert server.log.read_text().count("logical decoding") == begun


@pytest.mark.pg("14,16")
def test_a_role_that_is_no_superuser(nodes: Pair, lab: Build) -> None:
    everywhere(nodes, TABLE)
    source, role = nodes.source, f"decodes_{nodes.source.database.dbname}"
    source.execute(f"create role {role} login replication; alter table t owner to {role}")
    source.execute(f"grant create, temporary on database {source.database.dbname} to {role}")
    made = lab([Node(source.server, replace(source.database, user=role)), nodes.target])
    made.settle()
    source.execute("insert into t values (1, 'x')")
    assert made.run() == Counts(inserted=1)
    made.close()
    with source.connect(user=role) as connection:
        release(connection, Install(), [])
    assert source.value(SLOTS) == 0
    source.execute(f"drop owned by {role} cascade; drop role {role}")


def test_a_slot_that_is_lost_costs_a_copy_and_no_change(nodes: Pair, lab: Build) -> None:
    everywhere(nodes, TABLE)
    nodes.source.execute("insert into t select i, 'x' from generate_series(1, 100) i")
    made = lab(list(nodes))
    made.settle()
    known = log_id(nodes.source)
    nodes.source.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
    )
    nodes.source.execute("delete from t where id > 90; insert into t values (0, 'unseen')")
    with pytest.raises(Transient, match="is gone"):
        made.run()
    made.sync()[0].close()
    made.settle()
    assert rows(nodes.target) == rows(nodes.source)
    assert log_id(nodes.source) != known


def test_a_slot_that_has_fallen_too_far_behind_costs_a_copy(
    private_server: Callable[..., Server], node_factory: NodeFactory, lab: Build
) -> None:
    server = private_server(max_slot_wal_keep_size="1MB", max_wal_size="32MB", min_wal_size="32MB")
    source, target = node_factory("source", server=server, schema=TABLE), node_factory("target", schema=TABLE)
    made = lab([source, target])
    made.settle()
    source.execute("insert into t values (1, 'held back')")
    for _ in range(4):
        source.execute(
            "create table filler as select repeat('x', 1000) from generate_series(1, 20000); drop table filler"
        )
        source.execute("checkpoint")
    assert source.value("select wal_status from pg_replication_slots") == "lost"
    with pytest.raises(Transient, match="is gone"):
        made.run()
    made.sync()[0].close()
    made.settle()
    assert rows(target) == rows(source)


@pytest.mark.pg(">=16")
def test_little_is_read_again_where_the_server_can_be_told(node_factory: NodeFactory, lab: Build) -> None:
    """Decoding begins at a record of running transactions, which the server writes every 15 seconds by itself."""
    source, target = (node_factory(name, schema=TABLE) for name in ("source", "target"))
    made = lab([source, target])
    made.settle()
    for number in range(6):
        source.execute("insert into t select %s + i, repeat('x', 500) from generate_series(1, 5000) i", [number * 5000])
        made.run()
    again = "select pg_wal_lsn_diff(confirmed_flush_lsn, restart_lsn) from pg_replication_slots where database ="
    written = 6 * 5000 * 500
    assert source.value(f"{again} current_database()") < written / 2


def test_the_slot_moves_on_where_a_target_is_away(node_factory: NodeFactory, connector: Connector) -> None:
    source, near, away = (node_factory(name, schema=TABLE) for name in ("source", "near", "away"))
    declared = topology([source, near, away], names("t"), capture=Capture.WAL)
    with linked(declared, connector) as links:
        before = source.value(CONFIRMED)
        source.execute("insert into t select i, 'x' from generate_series(1, 50) i")
        links.run("near")
        assert source.value(
            "select %s::pg_lsn < confirmed_flush_lsn from pg_replication_slots where database = current_database()",
            [before],
        )
        assert rows(near) == rows(source) != rows(away)
        links.run("away")
        assert rows(away) == rows(source)


def test_a_paused_sync_keeps_no_wal(nodes: Pair, connector: Connector) -> None:
    everywhere(nodes, TABLE)
    declared = topology(nodes, names("t"), capture=Capture.WAL)
    with linked(declared, connector) as links:
        links.close()
        before = nodes.source.value(CONFIRMED)
        nodes.source.execute("insert into t values (1, 'x')")
        purged = purge.purge_once(declared, Install(), connector, {}, stop=Stop())
        assert not purged.silent
        assert len(nodes.source.execute(LOGGED)) == 1
        assert nodes.source.value(CONFIRMED) != before
        links.beat()
        assert rows(nodes.target) == rows(nodes.source)


def test_of_a_key_that_changes_all_the_time_the_log_has_the_last_change(nodes: Pair, lab: Build) -> None:
    made = settled(nodes, lab, TABLE)
    nodes.source.execute("insert into t values (1, 'x'), (2, 'y')")
    for number in range(5):
        nodes.source.execute("update t set v = %s where id = 1", [number])
    assert made.run() == Counts(inserted=2)
    ends = "select id, xmin::text::bigint from t order by id"
    assert nodes.source.execute(LOGGED) == nodes.source.execute(ends)


def test_the_last_change_is_not_that_of_the_highest_id(
    node_factory: NodeFactory, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two targets saw a change, but not a later one by a transaction that had begun before; then both are logged."""
    source, one, other = (node_factory(name, schema=TABLE) for name in ("source", "one", "other"))
    source.execute("insert into t values (1, 'x'), (2, 'x')")
    with linked(topology([source, one, other], names("t"), capture=Capture.WAL), connector) as links:
        with source.connect(autocommit=False) as early:
            early.execute("update t set v = 'early' where id = 2")
            source.execute("update t set v = 'seen' where id = 1")
            with monkeypatch.context() as crashing:
                crashing.setattr(Mover, "keep", lambda _: None)  # as if both had died before
                links.run()
            assert rows(one) == rows(other) == [("(1,seen)",), ("(2,x)",)]
            early.execute("update t set v = 'last' where id = 1")
        links.run("one")
        assert len(source.execute(LOGGED)) == 2
        links.run("other")
        assert rows(other) == rows(one) == rows(source)


def test_two_links_decode_at_once(node_factory: NodeFactory, connector: Connector) -> None:
    source, *targets = (node_factory(name, schema=TABLE) for name in ("source", "one", "other"))
    declared = topology([source, *targets], names("t"), capture=Capture.WAL)
    with linked(declared, connector) as links:
        failed: list[BaseException] = []

        def run(name: str) -> None:
            try:
                for _ in range(25):
                    links.run(name)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run, args=(target.name,)) for target in targets]
        for thread in threads:
            thread.start()
        for number in range(150):
            source.execute("insert into t values (%s, 'x')", [number])
        for thread in threads:
            thread.join()
        assert not failed
        links.run()
        assert rows(targets[0]) == rows(targets[1]) == rows(source)


# --- what is decoded


def settled(nodes: Pair, lab: Build, definition: str) -> Lab:
    everywhere(nodes, definition)
    made = lab(list(nodes))
    made.settle()
    return made


@pytest.mark.parametrize("identity", ["default", "full", "using index t_k"])
def test_keys_wherever_they_stand(pair: Pair, lab: Build, identity: str) -> None:
    made = settled(
        pair,
        lab,
        "create table t (gone int, a text, k2 text not null, b bytea, k1 int not null, primary key (k1, k2));"
        " create unique index t_k on t (k2, k1); alter table t drop column gone;"
        f" alter table t replica identity {identity}",
    )
    source = pair.source
    source.execute("insert into t (a, k2, k1) select null, repeat('ü', i), i from generate_series(1, 9) i")
    source.execute("update t set b = '\\x00ff', a = E'\\t\\\\' where k1 < 5")
    source.execute("update t set k1 = k1 + 100 where k1 in (2, 7)")
    source.execute("update t set k2 = E'with\\ntab\\t\\\\ and ''quotes''' where k1 = 3; delete from t where k1 = 4")
    assert made.run() == Counts(inserted=9 - 1)
    assert rows(pair.target, order="k1") == rows(source, order="k1")
    source.execute("update t set k1 = k1 + 1000, k2 = '' where k1 in (1, 3, 102); delete from t where k1 = 5")
    assert made.run() == Counts(inserted=3, deleted=4)
    assert rows(pair.target, order="k1") == rows(source, order="k1")


def test_a_key_that_lies_outside_of_its_row(nodes: Pair, lab: Build) -> None:
    made = settled(nodes, lab, "create table t (id text primary key, v text)")
    nodes.source.execute("alter table t alter id set storage external")
    long = "select string_agg(md5(i::text), '') from generate_series(1, 70) i"
    nodes.source.execute(f"insert into t select ({long}), repeat('v', 100)")
    made.settle()
    nodes.source.execute("update t set v = 'changed'")
    assert made.run() == Counts(updated=1)
    assert rows(nodes.target) == rows(nodes.source)


@pytest.mark.parametrize("length", [70_000, 17_000_000])
def test_a_key_after_a_long_value(nodes: Pair, lab: Build, length: int) -> None:
    """The numbers by which the messages say how long something is have four bytes, and each of them counts."""
    made = settled(nodes, lab, "create table t (v text, id int primary key)")
    nodes.source.execute("insert into t select repeat('v', %s), i from generate_series(1, 2) i", [length])
    assert made.run() == Counts(inserted=2)
    assert [key for key, _ in nodes.source.execute(LOGGED)] == [1, 2]


@pytest.mark.pg("16")
@pytest.mark.parametrize("oid", [70_000, 20_000_000, 4_000_000_000])
def test_oids_of_servers_on_which_much_was_made(
    private_server: Callable[..., Server], node_factory: NodeFactory, connector: Connector, oid: int
) -> None:
    old = private_server()
    old.stop()
    old.reset_wal("-o", str(oid))
    old.start()
    pair = node_factory.pair(old, schema=TABLE)
    with linked(topology(list(pair), names("t"), capture=Capture.WAL), connector) as links:
        assert pair.source.value("select relid::bigint from pgherd.captured") >= oid
        pair.source.execute("insert into t values (1, 'x')")
        (link,) = links.topology.links(Install(), links.sync)
        assert lag.unsent(connector, link).rows == 1
        links.run()
        assert rows(pair.target) == [("(1,x)",)]
        pair.source.execute("truncate t")
        links.run()
        assert rows(pair.target) == []


def test_columns_that_come_and_go_in_between(nodes: Pair, lab: Build) -> None:
    made = settled(nodes, lab, "create table t (a int, id int primary key, v text)")
    source = nodes.source
    source.execute("insert into t values (1, 1, 'before')")
    source.execute("alter table t drop column a; insert into t values (2, 'without')")
    source.execute("alter table t add column c int default 5; insert into t values (3, 'with more')")
    nodes.target.execute("alter table t drop column a; alter table t add column c int default 5")
    made.settle()
    assert rows(nodes.target) == rows(source)
    assert {key for key, _ in source.execute(LOGGED)} >= {1, 2, 3}


def test_a_key_that_gets_another_name_costs_a_copy(nodes: Pair, lab: Build) -> None:
    made = settled(nodes, lab, TABLE)
    nodes.source.execute("insert into t values (1, 'by the former name')")
    everywhere(nodes, "alter table t rename id to number")
    nodes.source.execute("insert into t values (2, 'by the latter')")
    for _ in range(3):
        try:
            made.settle()
        except Transient:
            made.sync()[0].close()
    assert rows(nodes.target) == rows(nodes.source)


def test_an_identity_that_lacks_the_key_costs_a_copy(nodes: Pair, lab: Build) -> None:
    """The server takes any index; deletes then have other columns than the key."""
    made = settled(
        nodes, lab, "create table t (id int primary key, other int not null); create unique index o on t (other)"
    )
    nodes.source.execute("insert into t values (1, 10), (2, 20)")
    made.settle()
    nodes.source.execute("alter table t replica identity using index o; delete from t where id = 1")
    nodes.source.execute("alter table t replica identity default; insert into t values (3, 30)")
    for _ in range(3):
        made.settle()
        made.sync()[0].close()
    assert rows(nodes.target) == rows(nodes.source)


def test_several_tables_are_truncated_at_once(pair: Pair, lab: Build) -> None:
    everywhere(pair, TABLE, TABLE.replace(" t ", " u "), TABLE.replace(" t ", " x "))
    made = lab(list(pair), tables=("t", "u", "x"))
    for name in ("t", "u", "x"):
        pair.source.execute(f"insert into {name} values (1, 'a'), (2, 'b')")
    made.settle()
    pair.source.execute("truncate t, u; insert into u values (2, 'after')")
    assert made.run() == Counts(inserted=1, deleted=4)
    assert (rows(pair.target, "t"), rows(pair.target, "u")) == ([], [("(2,after)",)])
    assert rows(pair.target, "x") == rows(pair.source, "x")
    assert made.run() == Counts()


def test_a_truncation_is_logged_for_who_comes_later(node_factory: NodeFactory, connector: Connector) -> None:
    source, near, late = (node_factory(name, schema=TABLE) for name in ("source", "near", "late"))
    source.execute("insert into t select i, 'x' from generate_series(1, 20) i")
    with linked(topology([source, near, late], names("t"), capture=Capture.WAL), connector) as links:
        source.execute("truncate t; insert into t values (1, 'after')")
        links.run("near")
        source.execute("insert into t values (2, 'later')")
        links.run("late")
        assert rows(late) == rows(source)


# --- whose turn it is


def test_what_has_rolled_back_or_goes_on_is_not_there(nodes: Pair, lab: Build) -> None:
    made = settled(nodes, lab, TABLE)
    with nodes.source.connect() as connection:
        connection.autocommit = False
        connection.execute("insert into t values (1, 'goes on')")
        connection.execute("savepoint s")
        connection.execute("insert into t values (2, 'taken back')")
        connection.execute("rollback to s")
        nodes.source.execute("insert into t values (3, 'committed')")
        assert made.run() == Counts(inserted=1)
        connection.commit()
    assert made.run() == Counts(inserted=1)
    assert rows(nodes.target) == rows(nodes.source)


def test_what_is_committed_after_the_snapshot_is_of_the_next_batch(
    nodes: Pair, lab: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch decodes up to a later moment than that which it shows."""
    made = settled(nodes, lab, TABLE)
    nodes.source.execute("insert into t values (1, 'x')")
    made.settle()
    decode = Decoder.decode

    def decode_late(self: Decoder, upcoming: int) -> None:
        nodes.source.execute("truncate t")
        decode(self, upcoming)

    monkeypatch.setattr(Decoder, "decode", decode_late)
    assert made.run() == Counts()
    monkeypatch.undo()
    assert made.run() == Counts(deleted=1)


def test_two_phases(nodes: Pair, lab: Build) -> None:
    made = settled(nodes, lab, TABLE)
    with nodes.source.connect() as connection:
        connection.execute("begin; insert into t values (1, 'prepared')")
        connection.execute("prepare transaction 'pgherd test decoding'")
        assert made.run() == Counts()
        connection.execute("commit prepared 'pgherd test decoding'")
    assert made.run() == Counts(inserted=1)


def test_a_commit_that_waits_for_a_standby_is_not_seen_before_it_is(
    private_server: Callable[..., Server], node_factory: NodeFactory, lab: Build
) -> None:
    """It is in the WAL, and decoded, while nobody sees it on the source."""
    server = private_server()
    source, target = node_factory("source", server=server, schema=TABLE), node_factory("target", schema=TABLE)
    made = lab([source, target])
    made.settle()
    server.execute("alter system set synchronous_commit = local")
    _set_standbys(source, "nobody")

    def insert() -> None:
        with source.connect(options="-c synchronous_commit=on") as connection:
            connection.execute("insert into t values (1, 'waits')")

    waiting = threading.Thread(target=insert)
    waiting.start()
    waits = "from pg_stat_activity where wait_event = 'SyncRep'"
    until(lambda: source.value(f"select count(*) {waits}") == 1, 30, "the commit waits")
    source.execute("insert into t values (2, 'is seen')")
    assert made.run() == Counts(inserted=1)
    assert made.run() == Counts()
    assert rows(target) == rows(source) == [('(2,"is seen")',)]
    source.execute(f"select pg_cancel_backend(pid) {waits}")  # it is committed here all the same, and seen from now on
    waiting.join()
    assert made.run() == Counts(inserted=1)
    assert rows(target) == rows(source)
    _set_standbys(source, "")


def _set_standbys(node: Node, names: str) -> None:
    node.server.execute(f"alter system set synchronous_standby_names = '{names}'")
    node.server.execute("select pg_reload_conf()")
    until(lambda: node.value("show synchronous_standby_names") == names, 30, "the setting holds")


def test_commits_that_are_not_on_disk_yet_are_decoded(
    private_server: Callable[..., Server], node_factory: NodeFactory, lab: Build
) -> None:
    careless = private_server(synchronous_commit="off", wal_writer_delay="10s", fsync="on")
    source, target = node_factory("source", server=careless, schema=TABLE), node_factory("target", schema=TABLE)
    made = lab([source, target])
    made.settle()
    for number in range(3):
        source.execute("insert into t values (%s, 'seen')", [number])
        assert made.run() == Counts(inserted=1)


@pytest.mark.parametrize("stands", ["0, 'I', 1", "2, 'R', 1), (1, 'U', 1", "1, 'R', 2), (2, 'D', 1"])
def test_a_change_that_no_layout_precedes_is_not_passed_over(nodes: Pair, lab: Build, stands: str) -> None:
    made = settled(nodes, lab, TABLE)
    with nodes.source.connect() as connection:
        decoder = Decoder(connection, Install())
        connection.execute(f"insert into pgherd_decoded (n, kind, relid) values ({stands})")
        with pytest.raises(Transient, match="without the layout"):
            decoder._read_marks()
    made.close()


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_ids_are_those_of_the_transactions(nodes: Pair, lab: Build, epoch: int) -> None:
    """Decoded ids have 32 bits; what is kept of them has 64."""
    made = settled(nodes, lab, TABLE)
    xid = nodes.source.value("insert into t values (1, 'x') returning txid_current()")
    with nodes.source.connect() as connection:
        decoder = Decoder(connection, Install())
        decoder.decode(xid + epoch * 2**32 + 3)
        assert connection.execute("select distinct xid from pgherd_decoded").fetchall() == [(xid + epoch * 2**32,)]
        decoder.decode((epoch + 1) * 2**32 + xid - 2**30)
        assert connection.execute("select distinct xid from pgherd_decoded").fetchall() == [
            (xid + (epoch + 1) * 2**32,)
        ]
    made.settle()
    assert nodes.source.execute(LOGGED) == [(1, xid)]


def test_drained_twice_is_nothing_twice(nodes: Pair, lab: Build) -> None:
    made = settled(nodes, lab, TABLE)
    nodes.source.execute("insert into t values (1, 'x')")
    with nodes.source.connect() as connection:
        assert drain(connection, Install()) == 1
        assert drain(connection, Install()) == 0
        connection.execute("insert into pgherd.delta_public_t (k1, xid) select k1, xid from pgherd.delta_public_t")
    assert made.run() == Counts(inserted=1)
    assert made.run() == Counts()

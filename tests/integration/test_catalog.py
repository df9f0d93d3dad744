"""The catalog on real servers: schema and migrations, declared values there and back, history, kicks, locks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from replicator import sql
from replicator.catalog import Catalog, Leftover, LinkState, State, schema
from replicator.change import Counts, RunResult
from replicator.config import Config
from replicator.errors import AlreadyExists, ConfigError, ConnectionLost, InvalidTopology, NotFound
from replicator.hook import Hook, Moment
from replicator.model import (
    Capture,
    CopyMethod,
    Database,
    DbGroup,
    Herd,
    Install,
    Numbers,
    OneTimeCopy,
    Role,
    Strategy,
    Sync,
    SyncType,
    TableName,
    Topology,
)
from replicator.postgres import Connector
from tests.fixtures.nodes import Node
from tests.fixtures.wait import until

T0 = datetime(2026, 1, 1, tzinfo=UTC)

MASTER = Database(name="master", dbname="test1", host="10.0.0.1", options={"sslmode": "require"}, capture=Capture.WAL)
SLAVE = Database(name="slave", dbname="test1", host="10.0.0.2", port=5433, user="rep", active=False)
HISTORY = DbGroup(name="history", members=("slave", "master"), roles={"slave": Role.TARGET})
ALPHA = Herd(
    name="alpha",
    database="master",
    tables=(TableName("public", "b"), TableName("Sales", 'odd "name"'), TableName("public", "a")),
    sequences=(TableName("public", "s"),),
)
PUSH = Sync(
    name="push",
    type=SyncType.PUSHDELTA,
    herd="alpha",
    targets=("history", "slave"),
    strategy=Strategy.SOURCE,
    makedelta=True,
    autokick=False,
    checktime=timedelta(seconds=90.5),
    onetimecopy=OneTimeCopy.OFF,
    copymethod=CopyMethod.TRUNCATE,
    sequences=Numbers.NONE,
    sequence_step=64,
    paused=True,
    hooks=(
        Hook(name="one", moment=Moment.AFTER_SYNC, call="sql:note"),
        Hook(name="two", moment=Moment.AFTER_ROWS, call="python:m:f", tables=("public.a",), seconds=2.5),
    ),
)


@pytest.fixture
def catalog(connector: Connector) -> Iterator[Catalog]:
    Catalog.init(connector)
    with Catalog.open(connector, "test") as opened:
        yield opened


@pytest.fixture
def filled(catalog: Catalog) -> Catalog:
    catalog.add_database(MASTER)
    catalog.add_database(SLAVE)
    catalog.add_dbgroup(HISTORY)
    catalog.add_herd(ALPHA)
    catalog.add_sync(PUSH)
    return catalog


def link(topology: Topology):
    return topology.links(Install(), topology.syncs["push"])[0]


@pytest.mark.pg("all")
def test_what_is_declared_comes_back_as_it_was(connector: Connector):
    assert Catalog.init(connector) is True
    assert Catalog.init(connector) is False
    with Catalog.open(connector) as catalog:
        catalog.add_database(MASTER)
        catalog.add_database(SLAVE)
        catalog.add_dbgroup(HISTORY)
        catalog.add_herd(ALPHA)
        catalog.add_sync(PUSH)
        found = catalog.topology()
        assert list(found.databases.values()) == [replace(MASTER, id=1), replace(SLAVE, id=2)]
        assert list(found.dbgroups.values()) == [HISTORY]
        assert list(found.herds.values()) == [ALPHA]
        assert list(found.syncs.values()) == [PUSH]
        catalog.report(LinkState(sync="push", source="master", target="slave", state=State.IDLE))
        catalog.record_run(link(found), RunResult(counts=Counts(inserted=1)), T0, T0)
        catalog.finish_kick("push", "master", "slave", catalog.kick("push"))
        assert catalog.states()[0].state is State.IDLE
        assert catalog.totals()[0].counts == Counts(inserted=1)
        catalog.remove_sync("push")
        assert catalog.states() == catalog.runs() == catalog.totals() == []


INTROSPECTION = (
    """select c.oid::regclass, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
              pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum), c.relkind, c.reloptions,
              obj_description(c.oid, 'pg_class')
       from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
       where c.relnamespace in ('catalog'::regnamespace, 'bucardo'::regnamespace)
       order by c.oid::regclass::text, a.attnum""",
    """select conrelid::regclass, conname, pg_get_constraintdef(oid) from pg_constraint
       where connamespace = 'catalog'::regnamespace order by 1::text, 2""",
    "select indexrelid::regclass, pg_get_indexdef(indexrelid) from pg_index where indexrelid::regclass::text like"
    " 'catalog.%%' order by 1::text",
    """select tgrelid::regclass, pg_get_triggerdef(oid) from pg_trigger
       where not tgisinternal order by 1::text, 2""",
    """select proname, pg_get_functiondef(oid), obj_description(oid, 'pg_proc') from pg_proc
       where pronamespace = 'catalog'::regnamespace order by 1""",
    "select obj_description('catalog'::regnamespace, 'pg_namespace')",
    "select name, value from catalog.setting order by 1",
)


def introspect(node: Node) -> list[list[tuple[object, ...]]]:
    return [node.execute(query) for query in INTROSPECTION]


@pytest.mark.pg("10,18")
def test_all_migrations_in_turn_make_the_schema(node_factory):
    whole, stepwise = node_factory("whole"), node_factory("stepwise")
    whole.execute(sql.text("catalog/schema.sql"))
    for _, _, text in schema.migrations():
        stepwise.execute(text)
    assert introspect(stepwise) == introspect(whole)


def test_introspection_sees_a_difference(node_factory):
    one, other = node_factory("one"), node_factory("other")
    one.execute(sql.text("catalog/schema.sql"))
    other.execute(sql.text("catalog/schema.sql"))
    assert introspect(one) == introspect(other)
    other.execute("alter table catalog.sync drop constraint sync_checktime_positive")
    assert introspect(one) != introspect(other)


def test_every_table_has_a_primary_key_and_comments_everywhere(node_factory):
    node = node_factory("catalog")
    node.execute(sql.text("catalog/schema.sql"))
    bare = node.execute(
        "select oid::regclass::text from pg_class where relnamespace = 'catalog'::regnamespace and relkind = 'r'"
        " and not exists (select from pg_index where indrelid = pg_class.oid and indisprimary)"
    )
    silent = node.execute(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where relnamespace = 'catalog'::regnamespace and relkind = 'r'"
        " and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null)"
    )
    assert (bare, silent) == ([], [])


def old_catalog(node: Node, upto: int) -> None:
    for number, name, text in schema.migrations()[:upto]:
        node.execute(text)
        node.execute("insert into catalog.migration (version, name) values (%s, %s)", [number, name])
    node.execute("insert into catalog.install (name) values ('pgherd')")


def test_an_old_catalog_is_migrated_with_what_it_holds(connector: Connector, catalog_node: Node):
    old_catalog(catalog_node, 1)
    catalog_node.execute("insert into catalog.db (name, dbname, host, port, username) values ('m', 'd', 'h', 1, 'u')")
    with pytest.raises(ConfigError, match=r"version 1, this program needs \d+.*replicator init"):
        Catalog.open(connector)
    assert Catalog.init(connector) is True
    with Catalog.open(connector) as catalog:
        assert catalog.topology().databases["m"].dbname == "d"
    assert Catalog.init(connector) is False


def test_a_migration_that_fails_leaves_nothing(connector: Connector, catalog_node: Node):
    old_catalog(catalog_node, 1)
    catalog_node.execute("create table catalog.run (id int)")
    with pytest.raises(Exception, match="already exists"):
        Catalog.init(connector)
    assert catalog_node.value("select max(version) from catalog.migration") == 1
    assert catalog_node.value("select to_regclass('catalog.kick') is null")


def test_two_inits_at_once_agree(connector: Connector):
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(Catalog.init(connector))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, False, False, True]


def test_no_catalog_yet_says_what_to_do(connector: Connector):
    with pytest.raises(ConfigError, match=r"holds no catalog yet.*replicator init"):
        Catalog.open(connector)


def test_another_installs_catalog_is_refused(connector: Connector, catalog: Catalog):
    other = Connector(Config(install=Install("other"), catalog=connector.config.catalog))
    for use in (Catalog.open, Catalog.init):
        with pytest.raises(ConfigError, match="belongs to install 'pgherd', but the configuration says 'other'"):
            use(other)


def test_a_catalog_of_a_later_program_is_refused(connector: Connector, catalog: Catalog, catalog_node: Node):
    catalog_node.execute("insert into catalog.migration (version, name) values (999, 'later')")
    for use in (Catalog.open, Catalog.init):
        with pytest.raises(ConfigError, match=r"version 999.*Upgrade pgherd"):
            use(connector)


def test_somebody_elses_schema_of_that_name_is_left_alone(connector: Connector, catalog_node: Node):
    catalog_node.execute("create schema catalog; create table catalog.goods (id int)")
    with pytest.raises(ConfigError, match="a schema named catalog that is not pgherd's"):
        Catalog.init(connector)


def test_updates_replace_members_and_keep_ids(filled: Catalog):
    filled.update_database(replace(MASTER, host="other"))
    filled.update_dbgroup(DbGroup(name="history", members=("slave",)))
    filled.update_herd(replace(ALPHA, tables=ALPHA.tables[::-1], sequences=()))
    filled.update_sync(replace(PUSH, targets=("slave",), checktime=None, type=SyncType.SWAP))
    found = filled.topology()
    assert (found.databases["master"].id, found.databases["master"].host) == (1, "other")
    assert found.dbgroups["history"].members == ("slave",)
    assert found.herds["alpha"].tables == ALPHA.tables[::-1]
    assert found.herds["alpha"].sequences == ()
    assert found.syncs["push"] == replace(PUSH, targets=("slave",), checktime=None, type=SyncType.SWAP)


def test_an_id_is_never_used_again(catalog: Catalog):
    catalog.add_database(MASTER)
    catalog.remove_database("master")
    catalog.add_database(MASTER)
    assert catalog.topology().databases["master"].id == 2


@pytest.mark.parametrize(
    ("value", "add"),
    [(MASTER, "add_database"), (HISTORY, "add_dbgroup"), (ALPHA, "add_herd"), (PUSH, "add_sync")],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_exists_cannot_be_added_again(filled: Catalog, value, add: str):
    before = filled.topology()
    with pytest.raises(AlreadyExists, match=f"{value.name}: there is one of that name already"):
        getattr(filled, add)(value)
    assert filled.topology() == before


@pytest.mark.parametrize("noun", ["database", "dbgroup", "herd", "sync"])
def test_what_does_not_exist_is_not_found(filled: Catalog, noun: str):
    value = {"database": MASTER, "dbgroup": HISTORY, "herd": ALPHA, "sync": PUSH}[noun]
    for act in (
        lambda: getattr(filled, f"remove_{noun}")("nobody"),
        lambda: getattr(filled, f"update_{noun}")(replace(value, name="nobody")),
    ):
        with pytest.raises(NotFound, match=f"no {noun} is called 'nobody'"):
            act()


def test_what_is_in_use_is_not_removed(filled: Catalog):
    for remove, name, user in (
        (filled.remove_database, "slave", "a dbgroup still lists it"),
        (filled.remove_dbgroup, "history", "a sync still writes to it"),
        (filled.remove_herd, "alpha", "a sync still moves it"),
    ):
        with pytest.raises(InvalidTopology, match=f"{name}: {user}"):
            remove(name)


def test_references_to_nothing_are_refused(filled: Catalog):
    with pytest.raises(InvalidTopology, match=r"herd lost.*nowhere"):
        filled.add_herd(Herd(name="lost", database="nowhere"))
    with pytest.raises(InvalidTopology, match=r"sync lost.*nowhere"):
        filled.add_sync(replace(PUSH, name="lost", targets=("slave", "nowhere")))
    assert "lost" not in filled.topology().syncs


@pytest.mark.parametrize(
    "statement",
    [
        'update catalog.db set options = \'{"password": "x"}\'',
        "update catalog.db set port = 0",
        "update catalog.db set name = 'two words'",
        "update catalog.sync set type = 'magic'",
        "update catalog.sync set checktime = '-1 s'",
        "update catalog.sync_target set db = 'slave', dbgroup = 'history'",
        "update catalog.sync_target set db = null, dbgroup = null",
        "insert into catalog.install (one, name) values (false, 'second')",
        "update catalog.herd_member set kind = 'view'",
    ],
)
def test_nonsense_is_impossible_in_psql_too(filled: Catalog, catalog_node: Node, statement: str):
    with pytest.raises(psycopg.IntegrityError):
        catalog_node.execute(statement)


def test_the_revision_grows_with_declarations_only(filled: Catalog):
    seen = filled.revision()
    filled.kick("push")
    filled.report(LinkState(sync="push", source="master", target="slave", state=State.IDLE))
    filled.record_run(link(filled.topology()), RunResult(), T0, T0)
    assert filled.revision() == seen
    for change in (
        lambda: filled.set_paused("push", False),
        lambda: filled.update_herd(replace(ALPHA, tables=())),
        lambda: filled.update_database(replace(MASTER, host="x")),
        lambda: filled.remove_sync("push"),
    ):
        change()
        assert filled.revision() > seen
        seen = filled.revision()


def test_paused_is_stored(filled: Catalog):
    filled.set_paused("push", False)
    assert filled.topology().syncs["push"].paused is False
    with pytest.raises(NotFound):
        filled.set_paused("nobody", True)


def test_kicks_wake_who_listens_and_are_finished_link_by_link(filled: Catalog, connector: Connector):
    with Catalog.open(connector, "daemon") as daemon:
        daemon.listen()
        assert filled.asked("push") == (filled.revision(), 0)
        assert daemon.wait(0) is False
        first, second = filled.kick("push"), filled.kick("push")
        assert daemon.wait(10) is True
        assert daemon.asked("push") == (filled.revision(), second)
        assert second > first
        daemon.finish_kick("push", "master", "slave", second)
        daemon.finish_kick("push", "master", "slave", second, "too late to fail")
        assert [result.error for result in filled.kick_results(first)] == [None]
        third = filled.kick("push")
        daemon.finish_kick("push", "master", "slave", third, "no space")
        assert [result.error for result in filled.kick_results(second)] == [None]
        assert [result.error for result in filled.kick_results(third)] == ["no space"]
        assert daemon.wait(10) is True
        filled.set_paused("push", False)
        assert daemon.wait(10) is True
    with pytest.raises(NotFound, match="no sync is called 'nobody'"):
        filled.kick("nobody")


def test_old_kicks_go(filled: Catalog, catalog_node: Node):
    first = filled.kick("push")
    catalog_node.execute("update catalog.kick set asked_at = now() - interval '2 days'")
    second = filled.kick("push")
    assert catalog_node.execute("select id from catalog.kick") == [(second,)]
    assert first < second


def test_history_keeps_counts_and_counts_repeated_failures_once(filled: Catalog):
    the_link = link(filled.topology())
    done = RunResult(counts=Counts(inserted=1, updated=2, deleted=3, conflicts=4, parked=5), copied=("public.a",))
    filled.record_run(the_link, done, T0, T0 + timedelta(seconds=1))
    for minute in (1, 2, 3):
        at = T0 + timedelta(minutes=minute)
        filled.record_run(the_link, ConnectionLost("slave: the connection broke"), at, at)
    filled.record_run(the_link, done, T0 + timedelta(minutes=4), T0 + timedelta(minutes=5))
    last, bad, good = filled.runs("push")
    assert (good.counts, good.copied, good.error) == (done.counts, ("public.a",), None)
    assert (bad.error, bad.attempts) == ("slave: the connection broke", 3)
    assert (bad.started_at, bad.finished_at) == (T0 + timedelta(minutes=1), T0 + timedelta(minutes=3))
    assert last.id > bad.id > good.id
    (total,) = filled.totals("push")
    assert (total.runs, total.failures, total.counts) == (2, 3, done.counts + done.counts)
    assert (total.last_good_at, total.last_bad_at) == (T0 + timedelta(minutes=5), T0 + timedelta(minutes=3))
    assert total.last_error == "slave: the connection broke"
    assert [run.id for run in filled.runs(limit=1)] == [last.id]
    assert filled.runs("nobody") == []


def test_history_is_pruned_by_number_and_age(filled: Catalog, catalog_node: Node):
    the_link = link(filled.topology())
    catalog_node.execute("update catalog.setting set value = 10 where name = 'runs_kept'")
    now = datetime.now(UTC)
    for _ in range(105):
        filled.record_run(the_link, RunResult(), now, now)
    assert [run.id for run in filled.runs("push")] == list(range(105, 90, -1))
    catalog_node.execute("update catalog.run set started_at = %s, finished_at = %s", [T0, T0])
    for _ in range(95):
        filled.record_run(the_link, RunResult(), now, now)
    assert [run.id for run in filled.runs("push")] == list(range(200, 190, -1))
    assert filled.totals()[0].runs == 200


def test_runs_by_age_alone(filled: Catalog, catalog_node: Node):
    the_link = link(filled.topology())
    now = datetime.now(UTC)
    for number in range(100):
        at = now - timedelta(days=40) if number < 50 else now
        filled.record_run(the_link, RunResult(), at, at)
    assert len(filled.runs("push", limit=1000)) == 50


def test_states_tell_since_when(filled: Catalog):
    state = LinkState(sync="push", source="master", target="slave", state=State.RUNNING, detail="copying", pid=7)
    filled.report(state)
    (first,) = filled.states()
    filled.report(replace(state, detail="still copying"))
    (second,) = filled.states()
    filled.report(replace(state, state=State.IDLE))
    (third,) = filled.states()
    assert first.since == second.since < third.since
    assert first.at < second.at
    assert (second.detail, second.pid, second.state) == ("still copying", 7, State.RUNNING)
    filled.clear_states("push")
    assert filled.states() == []


def test_a_state_tells_which_topology_it_works_by(filled: Catalog):
    state = LinkState(sync="push", source="master", target="slave", state=State.IDLE)
    filled.topology()
    filled.report(state)
    assert filled.states()[0].revision == filled.revision()
    filled.set_paused("push", False)
    filled.report(state)
    assert filled.states()[0].revision < filled.revision()


def test_a_removed_sync_takes_no_reports(filled: Catalog):
    the_link = link(filled.topology())
    filled.remove_sync("push")
    filled.report(LinkState(sync="push", source="master", target="slave", state=State.IDLE))
    filled.record_run(the_link, RunResult(), T0, T0)
    filled.finish_kick("push", "master", "slave", 1)
    assert filled.states() == filled.runs() == filled.totals() == []


def test_locks_are_seen_by_others_and_end_with_the_connection(catalog: Catalog, connector: Connector):
    with Catalog.open(connector, "daemon") as daemon:
        assert daemon.try_lock("sync", "push")
        assert not catalog.try_lock("sync", "push")
        assert catalog.locked("sync", "push")
        assert not catalog.locked("sync", "other")
        daemon.unlock("sync", "push")
        assert not catalog.locked("sync", "push")
        assert daemon.try_lock("master")
    until(lambda: catalog.try_lock("master"), 10, "the lock is free")


def test_a_lock_key_with_its_high_bit_set_is_seen(catalog: Catalog):
    names = [f"s{number}" for number in range(20)]
    assert {Install().lock_key("sync", name) < 0 for name in names} == {True, False}
    for name in names:
        assert catalog.try_lock("sync", name)
        assert catalog.locked("sync", name)


def test_leftovers_come_back_as_they_were(catalog: Catalog):
    one = Leftover(
        database=replace(MASTER, id=0, capture=Capture.TRIGGERS), sync="push", source="slave", tables=ALPHA.tables
    )
    catalog.note_leftover(one)
    catalog.note_leftover(Leftover(database=SLAVE, sync="push"))
    first, second = catalog.leftovers()
    assert replace(first, id=0, noted_at=None) == one
    assert (second.source, second.tables, second.database.host) == (None, None, SLAVE.host)
    catalog.leftover_failed(second.id, "slave does not answer")
    catalog.remove_leftover(first.id)
    assert [left.error for left in catalog.leftovers()] == ["slave does not answer"]


def test_a_broken_connection_is_said_so(catalog: Catalog, catalog_node: Node):
    catalog_node.execute("select pg_terminate_backend(%s)", [catalog._connection.info.backend_pid])
    with pytest.raises(ConnectionLost, match="the catalog"):
        catalog.revision()
    with pytest.raises(ConnectionLost, match="the catalog"):
        catalog.add_database(MASTER)


def test_declaring_holds_others_off_but_not_readers(filled: Catalog, connector: Connector):
    entered = threading.Event()

    def other() -> None:
        with Catalog.open(connector) as rival, rival.declaring():
            entered.set()

    with Catalog.open(connector) as reader, filled.declaring():
        rival = threading.Thread(target=other)
        rival.start()
        assert reader.topology().syncs
        assert not entered.wait(0.5)
        filled.set_paused("push", False)
    assert entered.wait(10)
    rival.join()


def test_a_failing_declaration_leaves_nothing(filled: Catalog):
    before = filled.topology()
    with pytest.raises(NotFound), filled.declaring():
        filled.remove_sync("push")
        filled.remove_sync("nobody")
    assert filled.topology() == before

"""The history of runs as Bucardo 4.5 shows it: the view q, the freezer and its days, and what purging does to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import errors

from replicator.catalog import Catalog
from replicator.change import Counts, RunResult
from replicator.errors import ConnectionLost
from replicator.model import Database, Herd, Install, Link, Sync, SyncType, TableName
from replicator.postgres import Connector
from tests.fixtures.nodes import Node

DONE = RunResult(counts=Counts(inserted=1, updated=2, deleted=3))
NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def catalog(connector: Connector) -> Iterator[Catalog]:
    Catalog.init(connector)
    with Catalog.open(connector, "test") as opened:
        opened.add_database(Database(name="master", dbname="test1"))
        opened.add_database(Database(name="slave", dbname="test2"))
        opened.add_herd(Herd(name="alpha", database="master", tables=(TableName("public", "t"),)))
        opened.add_sync(Sync(name="push", type=SyncType.PUSHDELTA, herd="alpha", targets=("slave",)))
        yield opened


def link(catalog: Catalog) -> Link:
    topology = catalog.topology()
    return topology.links(Install(), topology.syncs["push"])[0]


def ran(catalog: Catalog, at: datetime, outcome: RunResult | BaseException = DONE) -> None:
    catalog.record_run(link(catalog), outcome, at, at + timedelta(seconds=1))


def typed(node: Node, query: str) -> tuple[object, list[str]]:
    """What the how-to's user gets: the answer and the notices."""
    told: list[str] = []
    with node.connect() as connection:
        connection.add_notice_handler(lambda notice: told.append(f"{notice.severity}:  {notice.message_primary}"))
        connection.execute("set search_path = bucardo")  # as `"$user"` has it for that role
        row = connection.execute(query.encode()).fetchone()
    assert row
    return row[0], told


@pytest.mark.pg("10,18")
def test_runs_move_from_q_to_the_day_on_which_they_began(catalog: Catalog, catalog_node: Node) -> None:
    for days in (0, 0, 1, 8):
        ran(catalog, TODAY - timedelta(days=days))
    catalog.record_run(link(catalog), DONE, NOW, datetime.now(UTC) + timedelta(hours=1))
    purge = "select bucardo_purge_q_table('5 minutes'::interval)"
    moved = 4 if datetime.now(UTC) - TODAY > timedelta(minutes=6) else 2
    assert typed(catalog_node, purge) == (moved, [f"NOTICE:  Rows left in q table: {5 - moved}"])
    assert typed(catalog_node, purge) == (0, [f"NOTICE:  Rows left in q table: {5 - moved}"])
    day = f"freezer.child_q_{TODAY - timedelta(days=8):%Y%m%d}"
    assert catalog_node.execute(f"select sync, sourcedb, targetdb, synctype, inserts, updates, deletes from {day}") == [
        ("push", "master", "slave", "pushdelta", 1, 2, 3)
    ]
    assert catalog_node.value("select count(*) from freezer.master_q") == moved
    assert catalog_node.value("select count(*) from only freezer.master_q") == 0
    assert len(catalog.runs("push")) == 5, "the replicator's own history stays"


def test_days_go_when_they_are_old(catalog: Catalog, catalog_node: Node) -> None:
    for days in (2, 7, 8, 30):
        ran(catalog, TODAY - timedelta(days=days))
    assert catalog.freeze_runs(timedelta()) == 4
    assert catalog.drop_frozen(timedelta(days=7)) == 2
    names = [f"child_q_{TODAY - timedelta(days=days):%Y%m%d}" for days in (7, 2)]
    found = catalog_node.execute("select relname::text from pg_class where relname like 'child%' order by 1")
    assert [name for (name,) in found] == names


def test_a_day_that_somebody_dropped_is_made_again(catalog: Catalog, catalog_node: Node) -> None:
    at = TODAY - timedelta(days=1)
    ran(catalog, at)
    catalog.freeze_runs(timedelta())
    catalog_node.execute(f"drop table freezer.child_q_{at:%Y%m%d}")
    ran(catalog, at + timedelta(hours=1))
    assert catalog.freeze_runs(timedelta()) == 1
    assert catalog_node.value(f"select count(*) from freezer.child_q_{at:%Y%m%d}") == 1


def test_a_failure_that_goes_on_after_it_was_moved_is_a_run_of_its_own(catalog: Catalog, catalog_node: Node) -> None:
    lost = ConnectionLost("slave: the connection broke")
    ran(catalog, TODAY - timedelta(days=1), lost)
    assert catalog_node.execute("select ended, whydie from bucardo.q where aborted is not null") == [
        (None, "slave: the connection broke")
    ]
    catalog.freeze_runs(timedelta())
    ran(catalog, NOW, lost)
    assert catalog_node.value("select count(*) from bucardo.q") == 1
    assert catalog_node.value("select count(*) from freezer.master_q") == 1


def test_the_how_tos_daily_statements_work_as_written(catalog: Catalog, catalog_node: Node) -> None:
    sunday = TODAY - timedelta(days=TODAY.isoweekday() or 7)
    ran(catalog, sunday)
    catalog.freeze_runs(timedelta())
    ran(catalog, TODAY - timedelta(days=2))
    with catalog_node.connect() as connection:
        connection.execute("set search_path = bucardo")
        deleted = connection.execute(
            "delete from q where (started < now() + '1 day ago'::interval or ended < now() + '1 day ago'::interval or"
            " aborted < now() + '1 day ago'::interval or cdate < now() + '1 day ago'::interval)"
            " and (ended is null or aborted is null)"
        )
        assert deleted.rowcount == 1
        connection.execute(f"drop table freezer.child_q_{sunday:%Y%m%d}".encode())
    assert catalog_node.value("select count(*) from bucardo.q") == 0


def test_strangers_may_neither_purge_nor_look(catalog: Catalog, catalog_node: Node) -> None:
    for query in ("bucardo.bucardo_purge_q_table('0')", "freezer.drop_days('0')", "count(*) from bucardo.q"):
        with catalog_node.connect() as stranger, pytest.raises(errors.InsufficientPrivilege):
            stranger.execute("set role pg_monitor")
            stranger.execute(f"select {query}".encode())
    with pytest.raises(psycopg.errors.RaiseException, match="no interval is given"):
        catalog_node.execute("select bucardo.bucardo_purge_q_table(null)")


def test_bucardos_own_database_is_left_as_it_is(connector: Connector, catalog_node: Node) -> None:
    catalog_node.execute(
        "create schema bucardo; create table bucardo.bucardo_config (); create table bucardo.q (i int)"
    )
    assert Catalog.init(connector) is True
    assert catalog_node.value("select count(*) from bucardo.q") == 0
    assert catalog_node.value("select to_regnamespace('freezer') is null")

"""The purge on real servers: what everybody has goes, what somebody still needs stays, and it says who that is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from replicator.capture.needs import Kind
from replicator.catalog import Catalog
from replicator.config import Config
from replicator.model import SyncType, Topology
from replicator.postgres import Connector
from replicator.purge import Purged, Purger, PurgeReport, State, purge_once
from replicator.signals import Stop
from replicator.verify import TableComparison, Verdict, verify_sync
from tests.fixtures.links import INSTALL, Links, linked, names, topology
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.servers import Server

TABLE = "create table t (id int primary key, v text)"
LOG = "pgherd.delta_public_t"


@pytest.fixture
def plain(tmp_path: Path) -> Connector:
    return Connector(Config(run_dir=tmp_path, log_file=tmp_path / "log"))


def purge(declared: Topology, connector: Connector, state: State | None = None) -> Purged:
    return purge_once(declared, INSTALL, connector, {} if state is None else state, stop=Stop(), measured=True)


def compare(declared: Topology, connector: Connector) -> list[TableComparison]:
    sync = declared.syncs["test"]
    return verify_sync(declared, INSTALL, sync, connector, report=lambda _: None, stop=Stop(), patience=0)


def only(purged: Purged) -> PurgeReport:
    (report,) = purged.reports
    return report


def rows(node: Node, log: str = LOG) -> int:
    return int(node.value(f"select count(*) from {log}"))


@pytest.mark.pg("10,18")
def test_what_has_arrived_goes_and_what_has_not_stays(pair: Pair, plain: Connector) -> None:
    for node in pair:
        node.execute(TABLE)
    declared = topology(pair, names("t"))
    with linked(declared, plain) as links:
        pair.source.execute("insert into t select i, '' from generate_series(1, 100) i")
        links.run()
        pair.source.execute("update t set v = 'later' where id <= 7")
        report = only(purge(declared, plain))
        assert (report.deleted, report.kept) == (100, 7)
        assert report.holder == "test: source -> target"
        assert isinstance(report.oldest, datetime)
        links.run()
        report = only(purge(declared, plain))
        assert (report.deleted, report.kept, report.oldest, report.holder) == (7, 0, None, "")
        assert pair.target.value("select count(*) from t where v = 'later'") == 7


def test_a_transaction_in_progress_holds_back_its_own_rows(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links, nodes.source.connect(autocommit=False) as late:
        late.execute("insert into t values (1, 'late')")
        nodes.source.execute("insert into t values (2, 'early')")
        links.run()
        purge(declared, plain)
        late.commit()
        links.run()
        assert nodes.target.execute("select id from t order by id") == [(1,), (2,)]
        assert only(purge(declared, plain)).kept == 0


def test_a_target_that_is_down_keeps_everything_for_all(
    node_factory: NodeFactory, plain: Connector, private_server: Callable[..., Server]
) -> None:
    lost = private_server()
    nodes = [
        node_factory("master", schema=TABLE),
        node_factory("slave", schema=TABLE),
        node_factory("lost", schema=TABLE, server=lost),
    ]
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        lost.stop("fast")
        nodes[0].execute("insert into t select i, '' from generate_series(1, 50) i")
        links.run("slave")
        purged = purge(declared, plain)
        assert only(purged).kept == 50
        assert only(purged).holder == "test: master -> lost: lost does not answer, or was never written to"
        assert "does not answer" in purged.silent["lost"]
        lost.start()
        assert only(purge(declared, plain)).holder == "test: master -> lost"
        links.close()
        links.run()
        assert only(purge(declared, plain)).kept == 0
        assert nodes[2].value("select count(*) from t") == 50


def test_a_source_that_is_down_is_said_and_the_others_are_purged(
    node_factory: NodeFactory, plain: Connector, private_server: Callable[..., Server]
) -> None:
    lost = private_server()
    nodes = [node_factory("one", schema=TABLE), node_factory("other", schema=TABLE, server=lost)]
    declared = topology(nodes, names("t"), SyncType.SWAP)
    with linked(declared, plain):
        lost.stop("fast")
        purged = purge(declared, plain)
    assert purged.silent.keys() == {"other"}
    assert [report.node for report in purged.reports] == ["one"]


def test_a_table_that_is_still_to_be_copied_keeps_its_log(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, '')")
        links.run()
        nodes.target.execute("delete from pgherd.progress_table")
        report = only(purge(declared, plain))
        assert (report.deleted, report.kept) == (0, 1)
        assert report.holder.endswith("the table has yet to be copied")


def test_a_position_on_another_history_keeps_the_log(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, '')")
        links.run()
        nodes.target.execute("update pgherd.progress set timeline = timeline + 1")
        report = only(purge(declared, plain))
        assert (report.deleted, report.holder.split(": ")[-1]) == (0, "the source is not the one that it was following")


def test_truncations_and_touches_go_too(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    with linked(topology(nodes, names("t")), plain) as links:
        nodes.source.execute("insert into t values (1, '')")
        nodes.source.execute("truncate t")
        purge(links.topology, plain)
        assert rows(nodes.source, "pgherd.truncated") == 1
        links.run()
        assert only(purge(links.topology, plain)).deleted == 1
        assert rows(nodes.source, "pgherd.truncated") == 0
    with linked(topology(nodes, names("t"), SyncType.FULLCOPY), plain) as links:
        nodes.source.execute("insert into t values (1, '')")
        links.run()
        nodes.source.execute("insert into t values (2, '')")
        touched = {report.kind: report for report in purge(links.topology, plain).reports}[Kind.TOUCH]
        assert (touched.deleted, touched.kept) == (1, 1)


def test_a_sync_that_is_added_meanwhile_stops_the_purge(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, '')")
        links.run()
        purged = purge_once(declared, INSTALL, plain, {}, stop=Stop(), current=lambda: False)
        assert purged.reports == ()
        assert rows(nodes.source) == 1


def test_a_comparison_that_is_beginning_keeps_the_purge_out(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links, nodes.source.connect() as comparison:
        nodes.source.execute("insert into t values (1, '')")
        links.run()
        comparison.execute("select pg_advisory_lock_shared(%s)", [INSTALL.lock_key("purge")])
        purged = purge(declared, plain)
        assert (only(purged).deleted, purged.silent) == (0, {})
        comparison.execute("select pg_advisory_unlock_all()")
        assert only(purge(declared, plain)).deleted == 1


def restored(node: Node, before: list[tuple[object, ...]], position: str) -> None:
    """Bring a node's table and position back to what they were, as a restore from a backup does."""
    with node.connect() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("delete from t")
        connection.cursor().executemany("insert into t values (%s, %s)", before)
        connection.execute("update pgherd.progress set snapshot = %s", [position])


def test_a_target_from_the_past_is_copied_anew_once_the_log_no_longer_reaches_back(
    nodes: Pair, plain: Connector
) -> None:
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, 'kept')")
        links.run()
        purge(declared, plain)
        before = nodes.target.execute("select * from t")
        position = nodes.target.value("select snapshot from pgherd.progress")
        nodes.source.execute("insert into t values (2, 'purged')")
        links.run()
        purge(declared, plain)
        assert rows(nodes.source) == 0
        restored(nodes.target, before, position)
        (found,) = compare(declared, plain)
        assert (found.verdict, found.behind) == (Verdict.BEHIND, 1)
        assert "no longer reaches back" in found.note
        assert only(purge(declared, plain)).deleted == 0
        links.close()
        links.run()
        assert nodes.target.execute("select * from t order by id") == [(1, "kept"), (2, "purged")]


def test_a_target_from_the_past_goes_on_from_there_while_the_log_reaches_back(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, 'kept')")
        links.run()
        purge(declared, plain)
        before = nodes.target.execute("select * from t")
        position = nodes.target.value("select snapshot from pgherd.progress")
        nodes.source.execute("insert into t values (2, 'still logged')")
        links.run()
        restored(nodes.target, before, position)
        links.close()
        links.run()
        assert nodes.target.execute("select * from t order by id") == [(1, "kept"), (2, "still logged")]
        assert only(purge(declared, plain)).kept == 0


def test_masters_of_which_one_came_back_from_the_past_wait_for_a_person(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"), SyncType.SWAP)
    state: State = {}
    with linked(declared, plain) as links:
        position = nodes.target.value("select snapshot from pgherd.progress")
        nodes.source.execute("insert into t values (1, 'a')")
        generations(links, declared, plain, state, 4)
        assert rows(nodes.source) == 0
        restored(nodes.target, [], position)
        links.close()
        links.run()
        assert "no longer reaches back to where target is" in nodes.target.value(
            "select note from pgherd.table_columns where parked"
        )


# --- swap


@pytest.fixture
def masters(nodes: Pair) -> Topology:
    """A swap of the table between both nodes."""
    for node in nodes:
        node.execute(TABLE)
    return topology(nodes, names("t"), SyncType.SWAP)


def test_versions_stay_for_two_generations(nodes: Pair, masters: Topology, plain: Connector) -> None:
    state: State = {}
    with linked(masters, plain) as links:
        nodes.source.execute("insert into t values (1, 'a')")
        nodes.target.execute("insert into t values (1, 'b')")  # a rival: what arrives is noted where it is
        links.run()
        left = []
        for _ in range(2):
            left.append((rows(nodes.source), rows(nodes.target)))
            purge(masters, plain, state)
            links.beat()
        assert left == [(2, 1)] * 2
        purged = purge(masters, plain, state)
        assert {report.node: report.deleted for report in purged.reports} == {"source": 2, "target": 1}
        links.run()
        assert nodes.source.execute("select * from t") == nodes.target.execute("select * from t") == [(1, "b")]


def test_a_purger_that_restarts_begins_its_generations_anew(nodes: Pair, masters: Topology, plain: Connector) -> None:
    with linked(masters, plain) as links:
        nodes.source.execute("insert into t values (1, 'a')")
        for _ in range(5):
            links.beat()
            purge(masters, plain)
        assert rows(nodes.source) == 1


def generations(links: Links, declared: Topology, plain: Connector, state: State, count: int) -> None:
    for _ in range(count):
        purge(declared, plain, state)
        links.beat()


def test_what_stays_and_what_comes_is_never_older_than_what_went(
    nodes: Pair, masters: Topology, plain: Connector
) -> None:
    """A clock that ran ahead is remembered when its rows go: in the floor, and in the rows of that key that stay."""
    state: State = {}
    with linked(masters, plain) as links:
        nodes.source.execute("insert into t values (1, 'a'), (2, 'b')")
        nodes.source.execute(f"update {LOG} set changed_at = '2100-01-01Z' where k1 = 1")
        generations(links, masters, plain, state, 2)
        nodes.source.execute("update t set v = 'later'")
        nodes.source.execute("delete from t where id = 2")
        before = nodes.source.execute(f"select k1, seq, changed_at from {LOG} where k1 = 2 order by seq desc limit 2")
        assert rows(nodes.source) == 5
        purge(masters, plain, state)
        assert nodes.source.value("select floor from pgherd.node") == datetime.fromisoformat(
            "2100-01-01T00:00:00+00:00"
        )
        assert nodes.source.execute(f"select changed_at from {LOG} where k1 = 1") == [
            (datetime.fromisoformat("2100-01-01T00:00:00+00:00"),)
        ]
        assert nodes.source.execute(f"select k1, seq, changed_at from {LOG} where k1 = 2 order by seq desc") == before
        nodes.source.execute("insert into t values (3, 'new')")
        assert nodes.source.value(f"select changed_at > '2099-01-01Z' from {LOG} where k1 = 3") is True


def test_a_row_that_changes_all_the_time_is_purged_like_others(
    nodes: Pair, masters: Topology, plain: Connector
) -> None:
    """It has as many versions as the log is long: to compare each with each takes longer than a test may."""
    state: State = {}
    with linked(masters, plain) as links:
        nodes.source.execute("insert into t values (1, 'a')")
        change = "update t set v = i::text where id = 1"
        nodes.source.execute(f"do $$ declare i int; begin for i in 1 .. 8000 loop {change}; end loop; end $$")
        generations(links, masters, plain, state, 2)
        nodes.source.execute("update t set v = 'stays'")
        purge(masters, plain, state)
        assert rows(nodes.source) == 1


def test_masters_converge_whatever_was_purged_in_between(nodes: Pair, masters: Topology, plain: Connector) -> None:
    state: State = {}
    with linked(masters, plain) as links:
        for round_ in range(12):
            for number, node in enumerate(nodes):
                node.execute(
                    "insert into t select i, %s from generate_series(1, 20) i where (i + %s) %% 3 > 0"
                    " on conflict (id) do update set v = excluded.v",
                    [f"{node.name} {round_}", round_ + number],
                )
                node.execute("delete from t where id %% 7 = %s", [round_ % 7])
            if round_ % 3:
                links.run()
            purge(masters, plain, state)
        links.run()
        links.run()
        (found,) = compare(masters, plain)
        assert found.verdict is Verdict.EQUAL
        generations(links, masters, plain, state, 4)
        assert (rows(nodes.source), rows(nodes.target)) == (0, 0)


# --- as the daemon runs it


def test_the_purger_reads_the_catalog(nodes: Pair, connector: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    Catalog.init(connector)
    declared = topology(nodes, names("t"))
    with Catalog.open(connector, "test") as catalog:
        for database in declared.databases.values():
            catalog.add_database(database)
        catalog.add_herd(declared.herds["herd"])
        catalog.add_sync(declared.syncs["test"])
        with linked(catalog.topology(), connector) as links:
            nodes.source.execute("insert into t select i, '' from generate_series(1, 30) i")
            purger = Purger(connector, Stop())
            assert purger.once(measured=True).deleted == 0
            links.run()
            assert purger.once(measured=True).deleted == 30

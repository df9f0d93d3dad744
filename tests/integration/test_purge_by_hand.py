"""`bucardo_purge_delta` on real servers: typed as ever, it removes what nobody needs and nothing else."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from replicator.capture.schema import create_schema
from replicator.capture.setup import release
from replicator.config import Config
from replicator.model import Install, SyncType, Topology
from replicator.postgres import Connector
from replicator.purge import purge_once
from replicator.signals import Stop
from replicator.verify.flight import PURGE
from tests.fixtures.links import INSTALL, linked, names, topology
from tests.fixtures.nodes import Node, NodeFactory, Pair

TABLE = "create table t (id int primary key, v text)"
LOG = "pgherd.delta_public_t"
OTHER = Install("other")


@pytest.fixture
def plain(tmp_path: Path) -> Connector:
    return Connector(Config(run_dir=tmp_path, log_file=tmp_path / "log"))


def purge(node: Node, older_than: str = "0", function: str = "bucardo.bucardo_purge_delta") -> str:
    return str(node.value(f"select {function}('{older_than}'::interval)"))


def removed(delta: int, track: int = 0) -> str:
    return f"Rows deleted from bucardo_delta: {delta} Rows deleted from bucardo_track: {track}"


def settle(node: Node, declared: Topology, connector: Connector) -> None:
    """Let the purge find what may go while a comparison keeps it from removing that."""
    with node.connect() as comparison:
        comparison.execute("select pg_advisory_lock_shared(%s)", [INSTALL.lock_key(PURGE)])
        assert purge_once(declared, INSTALL, connector, {}, stop=Stop()).deleted == 0


@pytest.mark.pg("10,18")
def test_what_everybody_has_goes_by_hand_and_nothing_else(pair: Pair, plain: Connector) -> None:
    for node in pair:
        node.execute(TABLE)
    declared = topology(pair, names("t"))
    with linked(declared, plain) as links:
        pair.source.execute("insert into t select i, '' from generate_series(1, 100) i")
        assert purge(pair.source) == removed(0), "nothing has arrived, and nobody has looked"
        links.run()
        pair.source.execute("truncate t")
        links.run()
        settle(pair.source, declared, plain)
        pair.source.execute("insert into t select i, 'later' from generate_series(1, 7) i")
        assert purge(pair.source, "1 hour") == removed(0)
        assert purge(pair.source) == removed(100, 1)
        assert purge(pair.source) == removed(0)
        assert pair.source.value(f"select count(*) from {LOG}") == 7
        assert pair.source.value("select purged from pgherd.captured") > 0, "a target from the past must notice"
        links.run()
        assert pair.target.value("select count(*) from t where v = 'later'") == 7


def test_the_role_bucardo_names_no_schema_and_a_stranger_may_not(nodes: Pair, plain: Connector) -> None:
    source = nodes.source
    source.execute(TABLE)
    nodes.target.execute(TABLE)
    with linked(topology(nodes, names("t")), plain):
        with source.connect() as owner:
            owner.execute("set search_path = bucardo")  # as `"$user"` has it for that role
            row = owner.execute("select bucardo_purge_delta('10 minutes'::interval)").fetchone()
            assert row == (removed(0),)
        with source.connect() as stranger:
            stranger.execute("set role pg_monitor")
            for function in ("bucardo.bucardo_purge_delta", "pgherd.purge_delta"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    stranger.execute(sql.SQL("select {}('0')").format(sql.Identifier(*function.split("."))))
        with pytest.raises(psycopg.errors.RaiseException, match="no interval is given"):
            source.execute("select bucardo.bucardo_purge_delta(null)")


def test_ids_of_another_server_settle_nothing(nodes: Pair, plain: Connector) -> None:
    """A dump that is restored elsewhere brings along what was settled there."""
    for node in nodes:
        node.execute(TABLE)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, '')")
        links.run()
        settle(nodes.source, declared, plain)
        nodes.source.execute("update pgherd.captured set settled_on = 'another/1'")
        assert purge(nodes.source) == removed(0)
        settle(nodes.source, declared, plain)
        assert purge(nodes.source) == removed(1)


def test_the_versions_of_a_swap_are_left_to_the_daemon(nodes: Pair, plain: Connector) -> None:
    for node in nodes:
        node.execute(TABLE)
    with linked(topology(nodes, names("t"), SyncType.SWAP), plain) as links:
        nodes.source.execute("insert into t values (1, '')")
        links.run()
        nodes.source.execute(
            "update pgherd.captured set settled = txid_current() + 1, settled_on ="
            " (select system_identifier from pg_control_system()) || '/' ||"
            " (select oid from pg_database where datname = current_database())"
        )
        assert purge(nodes.source) == removed(0)
        assert nodes.source.value(f"select count(*) from {LOG}") == 1


def test_one_function_serves_all_installs_and_goes_with_the_last(node_factory: NodeFactory) -> None:
    node = node_factory("shared")
    with node.connect() as connection:
        for install in (INSTALL, OTHER):
            create_schema(connection, install)
        node.execute("create function pgherd_other.fake() returns int language sql as 'select 1'")
        assert purge(node) == removed(0)
        release(connection, INSTALL, ())
        assert purge(node) == removed(0)
        release(connection, OTHER, ())
    assert node.value("select to_regnamespace('bucardo') is null and to_regnamespace('pgherd') is null")


def test_what_a_stranger_made_is_not_run(node_factory: NodeFactory) -> None:
    node = node_factory("shared")
    with node.connect() as connection:
        create_schema(connection, INSTALL)
        connection.execute(
            "create schema pgherd_trap authorization pg_monitor;"
            "create function pgherd_trap.purge_delta(interval, out delta bigint, out track bigint) language plpgsql as"
            " $$ begin raise exception 'run with the rights of others'; end $$;"
            "alter function pgherd_trap.purge_delta(interval) owner to pg_monitor"
        )
        assert purge(node) == removed(0)


def test_bucardos_own_schema_is_left_alone(node_factory: NodeFactory) -> None:
    node = node_factory("former", schema="create schema bucardo; create table bucardo.bucardo_delta_targets ()")
    with node.connect() as connection:
        create_schema(connection, INSTALL)
        assert node.value("select to_regprocedure('bucardo.bucardo_purge_delta(interval)') is null")
        release(connection, INSTALL, ())
    assert node.value("select to_regclass('bucardo.bucardo_delta_targets') is not null")

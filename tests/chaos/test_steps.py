"""Steps that small syncs take: a process is killed at each of their failpoints, while applications write on."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from replicator import config, failpoint, topology
from replicator.catalog import Catalog
from replicator.model import Capture, DbGroup, Herd, Role, Sync, SyncType, TableName
from replicator.postgres import Connector
from replicator.topology.members import with_lead, without_node
from tests.chaos.acts import STEPS
from tests.chaos.declared import settings
from tests.chaos.engine import PURGE, Engine
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until
from tests.fixtures.writers import Writer, writing

TABLE = "create table t (id int primary key, v text, number bigserial)"
FIRST = 5
SECONDS = 60.0


class World:
    """A sync `s` that a controller runs which is killed at will: a swap of masters, and slaves, unless it is told.

    capture: of the first node.
    """

    def __init__(
        self,
        folder: Path,
        catalog: Node,
        nodes: dict[str, Node],
        slaves: tuple[str, ...] = (),
        *,
        kind: SyncType = SyncType.SWAP,
        capture: Capture = Capture.TRIGGERS,
    ) -> None:
        self.nodes, self.settings = nodes, settings(folder, catalog)
        self.connector = Connector(config.load(self.settings))
        Catalog.init(self.connector)
        lead, group = (
            next(iter(nodes)),
            DbGroup(name="g", members=tuple(nodes), roles=dict.fromkeys(slaves, Role.TARGET)),
        )
        with Catalog.open(self.connector) as opened:
            for name, node in nodes.items():
                opened.add_database(replace(node.database, capture=capture) if name == lead else node.database)
            opened.add_herd(Herd(name="h", database=lead, tables=(TableName("public", "t"),)))
            opened.add_dbgroup(group)
            opened.add_sync(Sync(name="s", type=kind, herd="h", targets=("g",)))
        nodes[lead].execute(f"insert into t (id, v) select i, 'first' from generate_series(1, {FIRST}) i")
        self.engine = Engine(self.settings)

    def begin(self) -> None:
        """Start the controller, and wait until it has filled all nodes."""
        self.engine.start("s")
        for node in self.nodes.values():
            until(lambda node=node: node.value("select count(*) from t") >= FIRST, SECONDS, f"{node} is filled")

    def kill_at(self, name: failpoint.Name, role: str = "s") -> None:
        """Start a process anew so that it dies at a failpoint."""
        self.engine.kill(role)
        _await_death(self.engine.start(role, name), name)

    def recover(self) -> None:
        """Start it anew."""
        self.engine.kill("s")
        self.engine.start("s")

    def await_equal(self, *names: str) -> None:
        """Wait until nodes hold the same."""

        def equal() -> bool:
            held = [self.nodes[name].execute("select t::text from t order by id") for name in names or self.nodes]
            assert all(rows == held[0] for rows in held), [len(rows) for rows in held]
            return True

        until(equal, SECONDS, "all nodes hold the same")


def _await_death(process: BaseProcess, name: str) -> None:
    until(lambda: process.exitcode is not None, SECONDS, f"it reaches {name}")
    assert process.exitcode == -signal.SIGKILL, f"it ended with {process.exitcode}, not at {name}"


@pytest.fixture
def world(node_factory: NodeFactory, catalog_node: Node, tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(*names: str, slaves: tuple[str, ...] = (), **options: Any) -> World:
        nodes = {name: node_factory(name, schema=TABLE) for name in names}
        made.append(World(tmp_path, catalog_node, nodes, slaves, **options))
        return made[-1]

    yield make
    for each in made:
        each.engine.close()


def assert_all_there(node: Node, *writers: Writer) -> None:
    """Every acknowledged row is there, as it was written."""
    held = dict(node.execute("select id, v from t"))
    for writer in writers:
        missing = [key for key, value in writer.written.items() if held.get(key) != value]
        assert writer.written and not missing, f"{node} lacks {missing[:5]} of {len(writer.written)}"


def test_columns_that_are_filled_in(world: Callable[..., World]) -> None:
    made = world("a", "b")
    made.begin()
    one, other = made.nodes.values()
    with writing([one, other]) as writers:
        one.execute("alter table t add c text default 'of the column'")
        noted = "select count(*) from pgherd.table_columns where 'c' = any(filling)"
        until(lambda: other.value(noted), SECONDS, "it is noted what is to be filled in")
        made.engine.kill("s")
        other.execute("alter table t add c text")
        for name in STEPS["fill"]:
            made.kill_at(name)
        made.recover()
        until(lambda: not other.value(noted), SECONDS, "the column is filled in")
    made.await_equal()
    assert other.value("select count(*) from t where c = 'of the column'") >= FIRST
    assert_all_there(other, *writers)


DROP_SLOT = (
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
    " where database = current_database() and not active"
)

FLOWING: tuple[failpoint.Name, ...] = (
    *("prepare.after-capture", "read.after-snapshot", "read.before-write", "apply.before-table"),
    *("save.after-position", "commit.before", "commit.after"),
)
"""Where a batch dies whose changes are decoded, besides where those are put into the logs."""


def test_changes_that_are_decoded(world: Callable[..., World]) -> None:
    made = world("a", "b", "c", kind=SyncType.PUSHDELTA, capture=Capture.WAL)
    made.begin()
    source, *targets = made.nodes.values()
    made.engine.start(PURGE)  # decodes too
    with writing([source]) as (writer,):
        for number, name in enumerate((*FLOWING, *STEPS["decode"]), 1):
            source.execute("insert into t (id, v) select -i, 'to be deleted' from generate_series(1, 100) i")
            source.execute("update t set id = id - %s where id between -100 and -1", [1000 * number])
            made.kill_at(name)
            source.execute("delete from t where id < 0 and mod(id, 2) = 0")
            if name.startswith("decode"):
                made.kill_at(name, PURGE)
        made.recover()
        made.engine.kill(PURGE)
        made.engine.start(PURGE)
    made.await_equal()
    for target in targets:
        assert_all_there(target, writer)
    assert not source.value("select count(*) from pg_trigger where tgrelid = 't'::regclass and not tgisinternal")


def test_a_slot_that_is_lost(world: Callable[..., World]) -> None:
    made = world("a", "b", kind=SyncType.PUSHDELTA, capture=Capture.WAL)
    made.begin()
    source, target = made.nodes.values()
    with writing([source]) as (writer,):
        made.engine.kill("s")
        until(lambda: source.execute(DROP_SLOT), SECONDS, "its slot is dropped")
        for name in STEPS["slot"]:
            source.execute("insert into t (id, v) select -i, 'seen by no slot' from generate_series(1, 100) i")
            made.kill_at(name)
            source.execute("delete from t where id < 0")
        made.recover()
    made.await_equal()
    assert_all_there(target, writer)


def test_numbers_that_masters_share(world: Callable[..., World]) -> None:
    made = world("a", "b")
    one, other = made.nodes.values()
    before, between, after = STEPS["share"]
    with writing([one]) as (writer,):
        made.kill_at(before)
        made.kill_at(between)
        with writing([other], first=2) as (late,):
            made.kill_at(after)
            made.recover()
            until(lambda: min(len(writer.written), len(late.written)) > 50, SECONDS, "both go on")
    made.await_equal()
    assert_all_there(one, writer, late)
    assert one.value("select count(*) - count(distinct number) from t") == 0


def test_a_slave_that_is_handed_over(world: Callable[..., World]) -> None:
    made = world("a", "b", "s", slaves=("s",))
    made.begin()
    with writing([made.nodes["a"], made.nodes["b"]]) as writers:
        will = "select count(*) from pgherd.progress where source = 'a' and will <> '{}'"
        until(lambda: made.nodes["s"].value(will), SECONDS, "the slave could follow another")
        made.engine.kill("s")
        with Catalog.open(made.connector) as catalog:
            current = catalog.topology()
            desired = with_lead(current, replace(current.herds["h"], database="b"))
            topology.apply(catalog, made.connector, topology.plan(catalog, desired))
        for name in STEPS["handover"]:
            made.kill_at(name)
        made.recover()
    made.await_equal()
    assert_all_there(made.nodes["s"], *writers)


def _let_go(settings_file: Path, armed: str) -> None:
    """Have master `c` leave, or go on with what a process before had begun."""
    failpoint.arm({failpoint.VARIABLE: armed})
    connector = Connector(config.load(settings_file))
    with Catalog.open(connector) as catalog:
        current = catalog.topology()
        member = "c" in {each.name for each in current.members(current.syncs["s"])}
        desired = without_node(current, "s", "c") if member else current
        topology.apply(catalog, connector, topology.plan(catalog, desired))


def test_a_master_that_leaves(world: Callable[..., World]) -> None:
    made = world("a", "b", "c")
    made.begin()
    leaver, context = made.nodes["c"], multiprocessing.get_context("forkserver")
    with writing([leaver], first=3) as (late,):
        until(lambda: len(late.written) > 30, SECONDS, "it writes")
    with writing([made.nodes["a"], made.nodes["b"]]) as writers:
        for number, name in enumerate(STEPS["leave"]):
            process = context.Process(target=_let_go, args=(made.settings, name), daemon=True)
            process.start()
            _await_death(process, name)
            if number < 3:  # what it left is still there, so this is no last moment yet
                leaver.execute("insert into t (id, v) values (%s, 'at the last moment')", [-number - 1])
        process = context.Process(target=_let_go, args=(made.settings, ""), daemon=True)
        process.start()
        process.join(SECONDS)
        assert process.exitcode == 0
    made.await_equal("a", "b")
    assert_all_there(made.nodes["a"], late, *writers)
    assert made.nodes["a"].value("select count(*) from t where id < 0") == 3
    assert not leaver.value("select count(*) from pg_namespace where nspname = 'pgherd'")

"""Databases that leave a swap: what nobody else has is not lost unasked, and what is kept for them is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from replicator import topology
from replicator.catalog import Catalog
from replicator.errors import UnsentChanges
from replicator.ledger import Conflict, Filters, find, moving, show
from replicator.model import SyncType, Topology
from replicator.postgres import Connector
from replicator.purge import purge_once
from replicator.purge.lateness import Lateness
from replicator.signals import Stop
from replicator.status import burden, overview
from replicator.topology import leaving
from replicator.topology.members import without_node
from tests.fixtures.lab import Build, Lab, ignore, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.servers import free_port

TABLE = "create table t (id int primary key, v text)"


@pytest.fixture
def catalog(connector: Connector) -> Iterator[Catalog]:
    Catalog.init(connector)
    with Catalog.open(connector) as opened:
        yield opened


@pytest.fixture
def nodes(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(name, schema=TABLE) for name in ("a", "b", "c")]


@pytest.fixture
def swap(catalog: Catalog, connector: Connector, nodes: list[Node], lab: Build) -> Lab:
    """A swap of three that is declared, and run by hand."""
    nodes[0].execute("insert into t select i, 'v' from generate_series(1, 10) i")
    made = lab(nodes, SyncType.SWAP)
    declare(catalog, connector, made.topology)
    made.topology = catalog.topology()
    made.settle()
    return made


def declare(catalog: Catalog, connector: Connector, desired: Topology, *, force: bool = False) -> None:
    topology.apply(catalog, connector, topology.plan(catalog, desired), ignore, force=force)


def run_by(made: Lab, declared: Topology) -> None:
    """Go on with another topology."""
    made.close()
    made.runners.clear()
    made.topology = declared


def test_a_master_that_holds_what_others_lack_stays(
    swap: Lab, catalog: Catalog, connector: Connector, nodes: list[Node]
) -> None:
    nodes[2].execute("insert into t values (50, 'not sent yet')")
    less = without_node(swap.topology, "s", "c")
    with pytest.raises(UnsentChanges, match="1 change written on c is not on a") as refused:
        declare(catalog, connector, less)
    assert "s: c -> b: 1 change" in str(refused.value) and "--force" in str(refused.value)
    assert catalog.topology() == swap.topology
    swap.settle()
    declare(catalog, connector, less)
    assert ('(50,"not sent yet")',) in rows(nodes[0])
    assert nodes[2].execute("select from pg_namespace where nspname = 'pgherd'") == []


def test_what_is_written_last_takes_the_step_back(
    swap: Lab, catalog: Catalog, connector: Connector, nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database itself is to go too: its number in the logs must stay what it was."""
    asked: list[float] = []
    check = leaving.check

    def meddle(*args: object) -> None:
        asked.append(args[-1])  # type: ignore[arg-type]
        if len(asked) == 2:
            nodes[2].execute("insert into t values (50, 'at the last moment')")
        check(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(leaving, "check", meddle)
    less = without_node(swap.topology, "s", "c")
    less = replace(less, databases={name: database for name, database in less.databases.items() if name != "c"})
    with pytest.raises(UnsentChanges, match="1 change written on c is not on a"):
        declare(catalog, connector, less)
    assert len(asked) == 2
    assert catalog.topology() == swap.topology
    assert catalog.leftovers() == []
    swap.settle()
    for node in nodes[:2]:
        assert ('(50,"at the last moment")',) in rows(node)
    declare(catalog, connector, less)
    assert "c" not in catalog.topology().databases


def test_by_force_a_dead_one_goes_and_lets_the_logs_go(
    swap: Lab, catalog: Catalog, connector: Connector, nodes: list[Node]
) -> None:
    catalog.update_database(replace(swap.topology.databases["c"], port=free_port()))
    less = without_node(catalog.topology(), "s", "c")
    with pytest.raises(UnsentChanges, match="what has not been sent is not known"):
        declare(catalog, connector, less)
    declare(catalog, connector, less, force=True)
    assert {left.database.name for left in catalog.leftovers()} == {"c"}
    run_by(swap, catalog.topology())
    nodes[0].execute("update t set v = 'on'")
    state: dict[str, object] = {}
    for _ in range(6):
        run_by(swap, catalog.topology())
        swap.run()
        purge_once(swap.topology, swap.install, connector, state, stop=Stop())  # type: ignore[arg-type]
    assert [node.value("select count(*) from pgherd.delta_public_t") for node in nodes[:2]] == [0, 0]


class Broken(Exception):
    """The process has died."""


@pytest.mark.parametrize("keeper", ["a", "b"])
def test_what_it_alone_had_decided_stays_known(
    catalog: Catalog,
    connector: Connector,
    node_factory: NodeFactory,
    lab: Build,
    monkeypatch: pytest.MonkeyPatch,
    keeper: str,
) -> None:
    """By the first of the others that answers."""
    schema = "create table t (id int primary key, code int unique, v text)"
    a, b, c = [node_factory(name, schema=schema) for name in ("a", "b", "c")]
    made = lab([a, b, c], SyncType.SWAP)
    declare(catalog, connector, made.topology)
    made.topology = catalog.topology()
    made.settle()
    ways = {(runner.link.source.name, runner.link.target.name): runner for runner in made.sync()}
    for _ in range(2):
        a.execute("insert into t values (%s, %s, 'of a')", [len(rows(a)) + 1, len(rows(a))])
        b.execute("insert into t values (%s, %s, 'of b')", [len(rows(b)) + 11, len(rows(b))])
        for way in (("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")):
            ways[way].run(False)
        made.settle()

    def known() -> list[Conflict]:
        return list(find(catalog.topology(), connector.config.install, connector, Filters()).conflicts)

    before = known()
    assert {conflict.node for conflict in before} == {"c"} and len(before) == 2
    if keeper == "b":
        catalog.update_database(replace(a.database, port=free_port()))
    less = without_node(catalog.topology(), "s", "c")

    def die(name: str) -> None:
        if name == "clean.after-ledger":
            raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(moving, "failpoint", die)
        with pytest.raises(Broken):
            declare(catalog, connector, less, force=keeper == "b")
    topology.clean(catalog, connector)
    assert {leftover.database.name for leftover in catalog.leftovers()} == ({"a"} if keeper == "b" else set())
    catalog.update_database(a.database)
    after = known()
    assert [replace(conflict, node="", number=0) for conflict in after] == [
        replace(conflict, node="", number=0) for conflict in before
    ]
    assert {conflict.node for conflict in after} == {keeper}
    image = show(catalog.topology(), connector.config.install, connector, after[0].name)
    assert image.losers[0].row and image.losers[0].row["v"] in ("of a", "of b")
    assert c.execute("select from pg_namespace where nspname = 'pgherd'") == []


def test_the_herds_own_database_may_leave(swap: Lab, catalog: Catalog, connector: Connector, nodes: list[Node]) -> None:
    declare(catalog, connector, without_node(swap.topology, "s", "a"))
    run_by(swap, catalog.topology())
    assert swap.topology.herds["h"].database == "b"
    nodes[1].execute("update t set v = 'b' where id = 1")
    nodes[2].execute("update t set v = 'c' where id = 2")
    swap.settle()
    assert rows(nodes[1]) == rows(nodes[2])
    assert ("(1,v)",) in rows(nodes[0])
    assert nodes[0].execute("select from pg_namespace where nspname = 'pgherd'") == []


def test_a_target_that_is_far_behind_is_told_with_its_cost(
    swap: Lab, catalog: Catalog, connector: Connector, nodes: list[Node], caplog: pytest.LogCaptureFixture
) -> None:
    strict = Connector(replace(connector.config, warn_behind=timedelta(minutes=30)))
    assert overview(catalog, strict).late == ()
    catalog.update_database(replace(swap.topology.databases["c"], port=free_port()))
    nodes[0].execute("update t set v = 'x'")
    (to_b,) = [each for each in swap.sync() if (each.link.source.name, each.link.target.name) == ("a", "b")]
    to_b.run()
    assert overview(catalog, strict).late == (), "it may be back soon"
    nodes[0].execute("update pgherd.delta_public_t set changed_at = changed_at - interval '1 hour'")
    (late,) = overview(catalog, strict).late
    assert (late.sync, late.target, late.why) == ("s", "c", "it does not answer")
    assert 3600 <= late.seconds < 7200
    kept = {kept.source: kept for kept in late.kept}
    held = nodes[0].value("select count(*) from pgherd.delta_public_t")
    assert (kept["a"].rows, kept["a"].exact) == (held, True)
    assert kept["a"].bytes == nodes[0].value("select pg_total_relation_size('pgherd.delta_public_t')")
    sentence = str(late)
    assert "c is 1h" in sentence and f"{held} rows" in sentence and "`replicator remove-node s c`" in sentence
    assert overview(catalog, connector).late == (), "by default a day"
    small = Connector(replace(connector.config, warn_kept=10))
    assert [one.target for one in overview(catalog, small).late] == ["c"]

    caplog.set_level("INFO", logger="pgherd")
    lateness = Lateness(strict)
    for now in (0.0, 10.0, 100.0):
        lateness.look(now)
    assert [record.levelname for record in caplog.records] == ["WARNING"], "it is told once"
    assert sentence.partition(" behind")[2] in caplog.text
    catalog.update_database(swap.topology.databases["c"])
    swap.settle()
    lateness.look(200.0)
    assert "c is no longer far behind" in caplog.text


def test_a_long_log_is_estimated(swap: Lab, connector: Connector, nodes: list[Node]) -> None:
    nodes[0].execute("insert into t select i, 'v' from generate_series(1000, 40999) i")
    swap.settle()
    nodes[0].execute(
        "insert into t select i, 'v' from generate_series(100000, 119999) i; analyze pgherd.delta_public_t"
    )
    links = [link for link in swap.topology.all_links(swap.install) if link.source.name == "a"]
    for found in burden.measure(connector, links):
        (kept,) = found.kept
        assert not kept.exact
        assert 18_000 < kept.rows < 22_000
        whole = nodes[0].value("select pg_total_relation_size('pgherd.delta_public_t')")
        assert 0.3 < kept.bytes / whole < 0.37

"""Converging the catalog to a desired topology: at once or not at all, and empty the second time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from replicator import topology
from replicator.catalog import Catalog, Leftover
from replicator.errors import InvalidTopology
from replicator.model import DbGroup, Herd, Sync, SyncType, TableName, Topology
from replicator.postgres import Connector
from tests.fixtures.nodes import Node
from tests.fixtures.servers import free_port

SCHEMA = "create table a (id int primary key); create table b (id int primary key)"
A, B = TableName("public", "a"), TableName("public", "b")


@pytest.fixture
def catalog(connector: Connector) -> Iterator[Catalog]:
    Catalog.init(connector)
    with Catalog.open(connector) as opened:
        yield opened


@pytest.fixture
def desired(node_factory) -> Topology:
    nodes: dict[str, Node] = {name: node_factory(name, schema=SCHEMA) for name in ("master", "slave", "other")}
    return Topology(
        databases={name: replace(node.database, id=0) for name, node in nodes.items()},
        dbgroups={"copies": DbGroup(name="copies", members=("slave", "other"))},
        herds={"alpha": Herd(name="alpha", database="master", tables=(A,))},
        syncs={"push": Sync(name="push", type=SyncType.PUSHDELTA, herd="alpha", targets=("copies",))},
    )


def converge(catalog: Catalog, connector: Connector, desired: Topology) -> list[str]:
    said: list[str] = []
    topology.apply(catalog, connector, topology.plan(catalog, desired), said.append)
    return said


def test_the_second_plan_is_empty(catalog: Catalog, connector: Connector, desired: Topology):
    assert converge(catalog, connector, desired) == ["looking at master, slave, other"]
    assert topology.plan(catalog, desired) == []
    before = catalog.revision()
    assert converge(catalog, connector, desired) == []
    assert catalog.revision() == before


def test_what_is_not_declared_goes(catalog: Catalog, connector: Connector, desired: Topology):
    converge(catalog, connector, desired)
    less = Topology(databases={"master": desired.databases["master"]})
    plan = topology.plan(catalog, less)
    assert [str(change) for change in plan] == [
        "delete sync push",
        "delete herd alpha",
        "delete dbgroup copies",
        "delete database slave",
        "delete database other",
    ]
    said = converge(catalog, connector, less)
    assert said.count("cleaned up after sync push on slave") == 1
    assert topology.plan(catalog, less) == []
    assert catalog.topology().syncs == {}


def test_a_problem_on_a_server_changes_nothing(catalog: Catalog, connector: Connector, desired: Topology):
    dead = replace(desired.databases["other"], port=free_port())
    bad = replace(desired, databases={**desired.databases, "other": dead})
    bad = replace(bad, herds={"alpha": replace(desired.herds["alpha"], tables=(A, TableName("public", "lost")))})
    with pytest.raises(InvalidTopology) as raised:
        converge(catalog, connector, bad)
    assert raised.value.exit_code == 4
    assert len(raised.value.problems) == 3
    assert catalog.topology() == Topology()


def test_a_plan_is_made_for_what_was_there(catalog: Catalog, connector: Connector, desired: Topology):
    converge(catalog, connector, desired)
    plan = topology.plan(catalog, replace(desired, herds={"alpha": replace(desired.herds["alpha"], tables=(A, B))}))
    catalog.update_herd(replace(desired.herds["alpha"], tables=(B,)))
    with pytest.raises(InvalidTopology, match=r"herd alpha was changed meanwhile by someone else\. Plan again"):
        topology.apply(catalog, connector, plan)
    assert catalog.topology().herds["alpha"].tables == (B,)


def test_a_change_while_servers_are_looked_at_is_not_undone(catalog: Catalog, connector: Connector, desired: Topology):
    converge(catalog, connector, desired)
    plan = topology.plan(catalog, replace(desired, herds={"alpha": replace(desired.herds["alpha"], tables=(A, B))}))

    def meddle(sentence: str) -> None:
        if sentence.startswith("looking"):
            with Catalog.open(connector) as other:
                other.set_paused("push", True)

    with pytest.raises(InvalidTopology, match="the topology was changed meanwhile by someone else"):
        topology.apply(catalog, connector, plan, meddle)
    assert catalog.topology().syncs["push"].paused
    assert catalog.topology().herds["alpha"].tables == (A,)


def test_leftovers_are_part_of_every_plan_until_they_are_clean(
    catalog: Catalog, connector: Connector, desired: Topology
):
    converge(catalog, connector, desired)
    gone = replace(desired.databases["other"], name="gone", port=free_port())
    catalog.note_leftover(Leftover(database=gone, sync="former", source="master"))
    (change,) = topology.plan(catalog, desired)
    assert str(change) == "delete leftover of former on gone"
    assert change.before_lines[-1] == "source: master"
    (said,) = converge(catalog, connector, desired)
    assert said.startswith("what sync former left on gone is still there")
    (change,) = topology.plan(catalog, desired)
    assert change.before_lines[-1].startswith("error: gone (")
    catalog.remove_leftover(catalog.leftovers()[0].id)
    catalog.note_leftover(Leftover(database=desired.databases["other"], sync="former", source="master"))
    assert converge(catalog, connector, desired) == ["cleaned up after sync former on other"]
    assert topology.plan(catalog, desired) == []


def test_pausing_asks_no_server(catalog: Catalog, connector: Connector, desired: Topology):
    converge(catalog, connector, desired)
    assert (
        converge(catalog, connector, replace(desired, syncs={"push": replace(desired.syncs["push"], paused=True)}))
        == []
    )
    assert catalog.topology().syncs["push"].paused


def test_taking_a_dead_target_out_needs_no_answer_from_it(catalog: Catalog, connector: Connector, desired: Topology):
    converge(catalog, connector, desired)
    catalog.update_database(replace(desired.databases["other"], port=free_port()))
    current = catalog.topology()
    less = replace(current, dbgroups={"copies": DbGroup(name="copies", members=("slave",))})
    (said,) = converge(catalog, connector, less)
    assert said.startswith("what sync push left on other is still there and will be cleaned up later")
    assert [db.name for db in catalog.topology().targets(current.syncs["push"])] == ["slave"]

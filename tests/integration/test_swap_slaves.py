"""swap over a dbgroup with roles: slaves get what any master writes, through the herd's database, and send nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator.capture import needs
from replicator.model import DbGroup, Role, SyncType, Topology
from replicator.purge import purge_once
from replicator.purge.rule import State
from replicator.signals import Stop
from replicator.verify import Verdict, verify_sync
from tests.fixtures.lab import Build, Lab, ignore, rows
from tests.fixtures.nodes import Node, NodeFactory

TABLE = "create table t (id int primary key, v text, n int not null default 0)"


@pytest.fixture
def nodes(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(name, schema=TABLE) for name in ("a", "b", "c", "d")]


def with_slave(topology: Topology, slave: str) -> Topology:
    """The lab's sync over a dbgroup, one member of which is a slave."""
    sync = topology.syncs["s"]
    group = DbGroup(name="g", members=("a", *sync.targets), roles={"a": Role.SOURCE, slave: Role.TARGET})
    return replace(topology, dbgroups={"g": group}, syncs={"s": replace(sync, targets=("g",))})


def swap(lab: Build, nodes: list[Node], **options: object) -> Lab:
    nodes[0].execute("insert into t select i, 'v' from generate_series(1, 10) i")
    made = lab(nodes, SyncType.SWAP, **options)
    made.topology = with_slave(made.topology, nodes[-1].name)
    made.settle()
    return made


def assert_equal(nodes: list[Node]) -> None:
    for other in nodes[1:]:
        assert rows(nodes[0]) == rows(other), f"{nodes[0]} and {other} differ"


def test_a_slave_gets_what_every_master_writes(nodes: list[Node], lab: Build) -> None:
    made = swap(lab, nodes, counters=("n",))
    assert {f"{link.source.name}>{link.target.name}" for link in made.topology.all_links(made.install)} == {
        *("a>b", "b>a", "a>c", "c>a", "b>c", "c>b"),
        "a>d",
    }
    for number, node in enumerate(nodes[:3], 1):
        node.execute(f"insert into t values ({20 + number}, 'by {node.name}')")
        node.execute(f"update t set v = 'by {node.name}' where id = {number}; update t set v = v || '!' where id = 9")
        node.execute(f"delete from t where id = {number + 3}; update t set n = n + {number} where id = 10")
    made.settle()
    assert_equal(nodes)
    assert ("(10,v,6)",) in rows(nodes[3])
    nodes[1].execute("truncate t")
    made.settle()
    assert_equal(nodes)
    assert needs(made.topology, "d") == {}
    assert nodes[3].execute("select from pgherd.captured") == []


def test_what_is_written_on_a_slave_stays_there(nodes: list[Node], lab: Build) -> None:
    made = swap(lab, nodes)
    nodes[3].execute("insert into t values (50, 'mine'); update t set v = 'mine' where id = 1")
    made.settle()
    assert rows(nodes[0]) == rows(nodes[1]) == rows(nodes[2])
    assert ("(50,mine,0)",) not in rows(nodes[0])
    nodes[2].execute("update t set v = 'theirs' where id = 1")
    made.settle()
    assert ("(1,theirs,0)",) in rows(nodes[3])


def test_a_slave_that_comes_later_is_filled_and_misses_nothing(nodes: list[Node], lab: Build) -> None:
    masters, slave = nodes[:3], nodes[3]
    masters[0].execute("insert into t select i, 'v' from generate_series(1, 10) i")
    made = lab(masters, SyncType.SWAP)
    made.settle()
    masters[1].execute("update t set v = 'before' where id = 1")
    made.settle()
    later = lab(nodes, SyncType.SWAP)
    later.topology = with_slave(later.topology, "d")
    later.settle()
    masters[1].execute("update t set v = 'after' where id = 2")
    later.settle()
    assert_equal([*masters, slave])


def test_logs_go_once_a_slave_has_what_is_in_them_and_verify_compares_it_once(nodes: list[Node], lab: Build) -> None:
    made = swap(lab, nodes)
    nodes[1].execute("update t set v = 'x'")
    made.settle()
    state: State = {}
    for _ in range(6):
        made.close()
        made.runners.clear()
        made.run()
        purge_once(made.topology, made.install, made.connector, state, stop=Stop())
    assert [node.value("select count(*) from pgherd.delta_public_t") for node in nodes[:3]] == [0, 0, 0]
    found = verify_sync(
        made.topology, made.install, made.topology.syncs["s"], made.connector, report=ignore, stop=Stop()
    )
    ends = [(each.source, each.target) for each in found]
    assert sorted(ends) == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c")]
    assert {each.verdict for each in found} == {Verdict.EQUAL}
    nodes[3].execute("delete from t where id = 1")
    found = verify_sync(
        made.topology, made.install, made.topology.syncs["s"], made.connector, report=ignore, stop=Stop()
    )
    assert [each.target for each in found if each.differences] == ["d"]


def test_a_column_that_another_master_had_first_comes_through_the_lead(nodes: list[Node], lab: Build) -> None:
    made = swap(lab, nodes)
    nodes[1].execute("alter table t add x int; update t set x = id")
    made.settle()
    for node in (nodes[0], *nodes[2:]):
        node.execute("alter table t add x int")
    for runner in made.sync():  # the slave is filled in from a lead that has yet to be
        if runner.link.led:
            runner.run()
    for runner in made.sync():
        runner.pending()
    made.settle()
    assert_equal(nodes)
    assert nodes[3].value("select count(*) from t where x = id") == 10

"""A swap's slaves get another lead while the former is away: they go on without a copy, and end as the masters do."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import permutations

import pytest

from replicator.model import DbGroup, OneTimeCopy, Role, SyncType
from replicator.purge import purge_once
from replicator.purge.rule import State
from replicator.signals import Stop
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory

TABLE = "create table t (id int primary key, v text, n int not null default 0)"
MASTERS = ("a", "b", "c")
KEYS = 12


@pytest.fixture
def nodes(node_factory: NodeFactory) -> dict[str, Node]:
    return {name: node_factory(name, schema=TABLE) for name in (*MASTERS, "s")}


@pytest.fixture
def swap(lab: Build, nodes: dict[str, Node]) -> Callable[..., Lab]:
    """The swap of three masters and a slave, led by one of them."""

    def make(lead: str = "a", **options: object) -> Lab:
        made = lab(list(nodes.values()), SyncType.SWAP, **options)
        group = DbGroup(name="g", members=tuple(nodes), roles={"s": Role.TARGET})
        sync = replace(made.topology.syncs["s"], targets=("g",))
        herd = replace(made.topology.herds["h"], database=lead)
        made.topology = replace(made.topology, dbgroups={"g": group}, syncs={"s": sync}, herds={"h": herd})
        return made

    return make


def go(made: Lab, *, without: Collection[str] = (), times: int = 1) -> int:
    """Run the links whose ends are not away; how many rows were written on the slave."""
    written = 0
    for _ in range(times):
        for runner in made.sync():
            if runner.link.source.name not in without and runner.link.target.name not in without:
                counts = runner.run().counts
                written += counts.rows if runner.link.target.name == "s" else 0
    return written


def restarted(made: Lab) -> Lab:
    """The same links run anew, which moves the positions of idle ones."""
    made.close()
    made.runners.clear()
    return made


def write(
    nodes: dict[str, Node], chance: random.Random, names: Collection[str], times: int, *, keys_stay: bool = False
) -> None:
    """keys_stay: rows neither come nor go, as counters want it where lines between masters are cut."""
    for _ in range(times):
        key, word = chance.randint(1, KEYS), f"{chance.random():.6f}"
        statements = [
            f"update t set v = '{word}' where id = {key}",
            f"update t set n = n + {chance.randint(1, 9)} where id = {key}",
            f"insert into t values ({key}, '{word}') on conflict (id) do update set v = excluded.v",
            f"delete from t where id = {key}",
        ]
        nodes[chance.choice(sorted(names))].execute(chance.choice(statements[: 2 if keys_stay else 4]))


def prepared(swap: Callable[..., Lab], nodes: dict[str, Node], **options: object) -> Lab:
    nodes["a"].execute(f"insert into t select i, 'first' from generate_series(1, {KEYS}) i")
    made = swap(**options)
    made.settle()
    go(restarted(made))
    go(restarted(made))
    return made


@pytest.mark.parametrize("counters", [(), ("n",)])
def test_a_slave_that_gets_another_lead_ends_as_the_masters(
    swap: Callable[..., Lab], nodes: dict[str, Node], counters: tuple[str, ...]
) -> None:
    made, lead, copied = prepared(swap, nodes, counters=counters), "a", list[str]()
    pairs, keys_stay = list(permutations(MASTERS, 2)), bool(counters)
    for seed in range(3):
        chance = random.Random(seed)
        # Some lines between masters are cut meanwhile, so that the lead and its heir know different things.
        for _ in range(4):
            write(nodes, chance, MASTERS, 5, keys_stay=keys_stay)
            cut = chance.sample(pairs, 3)
            for runner in made.sync():
                ends = runner.link.source.name, runner.link.target.name
                if ends not in cut and chance.random() < 0.7:
                    runner.run()
        write(nodes, chance, MASTERS, 3, keys_stay=keys_stay)
        away, lead = lead, chance.choice([name for name in MASTERS if name != lead])
        made = swap(lead, counters=counters)
        for runner in made.sync():
            if away not in (runner.link.source.name, runner.link.target.name):
                copied += runner.run().copied
        write(nodes, chance, [name for name in MASTERS if name != away], 5, keys_stay=keys_stay)
        go(made, without=[away], times=4)
        made.settle()
        assert rows(nodes[lead]) == rows(nodes["s"]), f"seed {seed}: the slave differs from {lead}"
        assert len({tuple(rows(nodes[name])) for name in MASTERS}) == 1
        go(restarted(made))
        go(restarted(made))
    assert not copied


def run(made: Lab, *pairs: str) -> None:
    """Run links, by name: `a>b`."""
    runners = {f"{runner.link.source.name}>{runner.link.target.name}": runner for runner in made.sync()}
    for pair in pairs:
        runners[pair].run()


def test_what_only_the_heir_has_of_a_third_master_comes(swap: Callable[..., Lab], nodes: dict[str, Node]) -> None:
    made = prepared(swap, nodes)
    nodes["c"].execute("update t set v = 'of c' where id = 1")
    run(made, "c>b")
    nodes["b"].execute("update t set v = 'of b' where id = 2")
    run(made, "b>a", "a>s")
    assert ('(2,"of b",0)',) in rows(nodes["s"]) and rows(nodes["s"]) != rows(nodes["b"])
    written = go(swap("b"), without=["a"])
    assert rows(nodes["s"]) == rows(nodes["b"])
    assert written < KEYS


def test_a_table_that_came_by_a_copy_since_is_copied_anew(swap: Callable[..., Lab], nodes: dict[str, Node]) -> None:
    made = prepared(swap, nodes, counters=("n",))
    nodes["a"].execute("update t set n = n + 1 where id = 1")
    again = swap("a", counters=("n",), onetimecopy=OneTimeCopy.ALWAYS)
    run(again, "a>b")
    made.close()
    made = swap("b", counters=("n",))
    copied = [runner.run().copied for runner in made.sync() if runner.link.target.name == "s"]
    assert copied == [("public.t",)]
    assert rows(nodes["s"]) == rows(nodes["b"])


def test_masters_keep_what_a_slave_lacks_for_whoever_takes_it_over(
    swap: Callable[..., Lab], nodes: dict[str, Node]
) -> None:
    made, state = prepared(swap, nodes), State()
    nodes["c"].execute("update t set v = 'of c' where id = 1")
    masters = [f"{source}>{target}" for source, target in permutations(MASTERS, 2)]
    for _ in range(6):
        run(restarted(made), *masters)
        purge_once(made.topology, made.install, made.connector, state, stop=Stop())
    go(swap("b"), without=["a"])
    assert rows(nodes["s"]) == rows(nodes["b"])


def test_a_slave_of_a_lead_that_has_parked_something_is_copied_anew(
    swap: Callable[..., Lab], nodes: dict[str, Node]
) -> None:
    made = prepared(swap, nodes)
    nodes["a"].execute("alter table t add check (v <> 'refused')")
    nodes["c"].execute("update t set v = 'refused' where id = 1")
    made.settle()
    go(restarted(made))
    assert rows(nodes["s"]) != rows(nodes["b"])
    made = swap("b")
    copied = [runner.run().copied for runner in made.sync() if runner.link.target.name == "s"]
    assert copied == [("public.t",)]
    assert rows(nodes["s"]) == rows(nodes["b"])

"""Nodes are looked at one after the other, and what happens in between loses nothing that somebody is yet to need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from replicator import failpoint
from replicator.config import Config
from replicator.model import Database, Install, SyncType, Topology
from replicator.postgres import Connection, Connector
from replicator.purge import State, purge_once, survey
from replicator.signals import Stop
from replicator.syncrun import LinkRunner
from tests.fixtures.links import INSTALL, names, topology
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until

TABLE = "create table t (id int primary key, v text)"
LOG = "pgherd.delta_public_t"
PAIRS = [("m1", "m2"), ("m2", "m1"), ("m1", "m3"), ("m3", "m1"), ("m2", "m3"), ("m3", "m2")]

Move = Callable[[str, str], None]


@pytest.fixture
def plain(tmp_path: Path) -> Connector:
    return Connector(Config(run_dir=tmp_path, log_file=tmp_path / "log"))


@pytest.fixture
def masters(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(f"m{number}", schema=TABLE) for number in (1, 2, 3)]


@pytest.fixture
def declared(masters: list[Node]) -> Topology:
    return topology(masters, names("t"), SyncType.SWAP)


@pytest.fixture
def move(declared: Topology, plain: Connector) -> Move:
    """Moves a batch of one link, and its position even if nothing changed: each time by a runner of its own."""
    links = {(link.source.name, link.target.name): link for link in declared.links(INSTALL, declared.syncs["test"])}

    def moved(source: str, target: str) -> None:
        with closing(LinkRunner(links[source, target], declared, plain, Stop(), lambda _: None)) as runner:
            runner.run()

    return moved


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[Callable[[], None]], Callable[[], None]]]:
    """Begins something that stops once it has read a batch; what it returns lets that go on, and waits for the end."""
    file = tmp_path / "go-on"

    def begin(batch: Callable[[], None]) -> Callable[[], None]:
        failpoint.arm({failpoint.VARIABLE: f"read.before-write:1:wait={file}"})
        thread = threading.Thread(target=batch)
        thread.start()
        until(Path(f"{file}.reached").exists, 10, "the batch is read")

        def go_on() -> None:
            file.touch()
            thread.join()

        return go_on

    yield begin
    file.touch()
    failpoint.arm({})


def test_a_version_that_arrives_between_two_looks_stays_while_its_rivals_are_on_their_way(
    masters: list[Node],
    declared: Topology,
    plain: Connector,
    move: Move,
    held: Callable[[Callable[[], None]], Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second master has it when it is looked at, its author had yet to write it: the third knows nothing of it."""
    m1, _, m3 = masters
    for pair in PAIRS * 2:
        move(*pair)
    looked: list[str] = []
    look = survey._look

    def look_in_turn(connection: Connection, database: Database, install: Install) -> survey.Node:
        looked.append(database.name)
        if looked == ["m1", "m2"]:
            move("m1", "m3")
            m1.execute("insert into t values (1, 'first')")
            m1.execute(f"update {LOG} set changed_at = '2100-01-01Z'")
            move("m1", "m2")
        return look(connection, database, install)

    monkeypatch.setattr(survey, "_look", look_in_turn)
    state: State = {}
    purge_once(declared, INSTALL, plain, state, stop=Stop())
    assert looked[:2] == ["m1", "m2"]
    others = [pair for pair in PAIRS if pair != ("m1", "m3")]
    for pair in others:
        move(*pair)
    purge_once(declared, INSTALL, plain, state, stop=Stop())
    for pair in others:
        move(*pair)
    m3.execute("insert into t values (1, 'rival')")
    land = held(lambda: move("m3", "m2"))
    move("m1", "m3")
    purge_once(declared, INSTALL, plain, state, stop=Stop())
    land()
    for pair in PAIRS * 2:
        move(*pair)
    assert [node.execute("select v from t") for node in masters] == [[("first",)]] * 3

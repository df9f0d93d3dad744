"""Which links a controller keeps, begins anew and ends when what is declared changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from replicator.change import RunResult
from replicator.config import Config
from replicator.controller import title
from replicator.controller.fleet import Fleet
from replicator.errors import ReplicatorError
from replicator.journal import Answer, News
from replicator.model import Database, Herd, Install, OneTimeCopy, Sync, SyncType, TableName, Topology
from replicator.postgres import Connector
from replicator.signals import Alarm, Stop
from tests.fixtures.wait import until


class IdleRunner:
    """Has nothing to do. deaf: does not end when told to, until released."""

    deaf = False
    released = threading.Event()

    def __init__(self, _link: Any, _topology: Any, _connector: Any, stop: Stop, _report: Any) -> None:
        self._stop = stop

    def prepare(self) -> RunResult:
        return RunResult()

    def arm(self) -> float:
        return 0.0

    def rang(self) -> bool:
        return False

    def pending(self) -> bool:
        if self.deaf:
            self.released.wait(10)
        return False

    def run(self, kicked: bool = False) -> RunResult:
        return RunResult()

    def close(self) -> None:
        pass


def declared(**changes: Any) -> Topology:
    """Sync `s` from a to b and c, sync `near` from b to d, sync `far` from e to f."""
    databases = {name: Database(name=name, dbname=name) for name in "abcdef"}
    herds = {f"h{name}": Herd(name=f"h{name}", database=name, tables=(TableName("public", "t"),)) for name in "abe"}
    syncs = {
        "s": Sync(name="s", type=SyncType.PUSHDELTA, herd="ha", targets=("b", "c")),
        "near": Sync(name="near", type=SyncType.PUSHDELTA, herd="hb", targets=("d",)),
        "far": Sync(name="far", type=SyncType.PUSHDELTA, herd="he", targets=("f",)),
    }
    for name, fields in changes.items():
        syncs[name] = replace(syncs[name], **fields)
    return Topology(databases=databases, herds=herds, syncs=syncs)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    IdleRunner.deaf = False
    IdleRunner.released.clear()
    made = Fleet(Connector(Config()), IdleRunner, Alarm(), Stop())
    yield made
    IdleRunner.released.set()
    assert made.wind_down("the test is over")
    made.news.close()


def by_target(fleet: Fleet) -> dict[str, object]:
    return {worker.link.target.name: worker for worker in fleet.workers}


def test_each_link_has_a_worker(fleet: Fleet) -> None:
    fleet.arrange("s", 1, declared())
    assert list(by_target(fleet)) == ["b", "c"]
    assert all(worker.alive for worker in fleet.workers)
    assert fleet.revision == 1
    until(lambda: fleet.prepared(1), 5, "all are prepared")
    assert not fleet.prepared(2)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, {"b", "c"}),
        ({"far": {"makedelta": True}}, {"b", "c"}),
        ({"near": {"paused": True}}, {"b", "c"}),
        ({"near": {"makedelta": True}}, {"c"}),
        ({"s": {"targets": ("c",)}}, set()),
        ({"s": {"onetimecopy": OneTimeCopy.ALWAYS}}, set()),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_change_touches_the_links_that_it_concerns(fleet: Fleet, changes: dict[str, Any], kept: set[str]) -> None:
    topology = declared()
    fleet.arrange("s", 1, topology)
    before = by_target(fleet)
    fleet.arrange("s", 2, declared(**changes))
    after = by_target(fleet)
    assert {name for name in after if after[name] is before.get(name)} == kept
    assert set(after) == set(declared(**changes).syncs["s"].targets)
    assert [worker for worker in before.values() if worker.alive and worker not in after.values()] == []  # type: ignore[attr-defined]


def test_an_inactive_database_is_left_alone(fleet: Fleet) -> None:
    topology = declared()
    databases = {**topology.databases, "b": replace(topology.databases["b"], active=False)}
    fleet.arrange("s", 1, replace(topology, databases=databases))
    assert list(by_target(fleet)) == ["c"]


def test_what_a_worker_had_still_to_tell_is_told_by_its_successor(fleet: Fleet) -> None:
    fleet.arrange("s", 1, declared())
    fleet.workers[0].journal.add(News(answers=(Answer(5),)))
    fleet.arrange("s", 2, declared(s={"makedelta": True}))
    assert fleet.workers[0].journal.take().answers == (Answer(5),)


def test_a_worker_that_does_not_end_is_named(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicator.controller.fleet.PATIENCE", 0.05)
    monkeypatch.setattr("replicator.controller.fleet.RELOAD", 0.05)
    IdleRunner.deaf = True
    fleet.arrange("s", 1, declared())
    until(lambda: fleet.prepared(1), 5, "all are prepared")
    with pytest.raises(ReplicatorError, match="s: a -> b, s: a -> c: did not stop"):
        fleet.arrange("s", 2, declared(s={"makedelta": True}))


def test_the_title_says_what_goes_where() -> None:
    topology = declared()
    links = list(topology.links(Install(), topology.syncs["s"]))
    assert title(topology.syncs["s"], links) == 'pgherd controller: sync "s" (pushdelta) a -> b, a -> c'
    swap = replace(topology.syncs["s"], type=SyncType.SWAP, targets=("b",))
    links = list(topology.links(Install(), swap))
    assert title(swap, links) == 'pgherd controller: sync "s" (swap) a <-> b'

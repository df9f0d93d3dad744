"""What idle processes do, in counts that do not vary with the machine: how often they wake, and what they then say."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from replicator import controller, signals, syncrun
from replicator.catalog import Catalog, State
from replicator.controller import desk
from replicator.model import Herd, Install, Sync, SyncType, TableName
from replicator.postgres import Connector
from replicator.question import Question
from replicator.signals import Stop
from replicator.syncrun import LinkRunner, defined
from tests.fixtures.nodes import NodeFactory, Pair
from tests.fixtures.wait import until

TABLE = "create table t (id int primary key, v text)"
BEAT = 0.1
"""Seconds: beats and looks come faster here, so that there are many."""

HOLDERS = "select count(*) from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and objid::bigint = %s"


class Controller:
    """A controller of sync `s`, with threads of this process. woken, said: how often, by thread and by purpose."""

    def __init__(self, connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
        self.woken: Counter[str] = Counter()
        self.said: Counter[str] = Counter()
        self._stop = Stop()
        self._count(monkeypatch)
        self._thread = threading.Thread(
            target=controller.run, args=(connector, "s", self._stop, LinkRunner), name="main thread"
        )
        self._thread.start()

    def _count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        await_input, wait, ask = signals.await_input, psycopg.Connection.wait, Question.ask

        def wake(seconds: float, *sockets: int) -> None:
            await_input(seconds, *sockets)
            self.woken[threading.current_thread().name.partition(" ")[0]] += 1

        def note(connection: psycopg.Connection[Any]) -> None:
            name = connection.info.get_parameters().get("application_name", "")
            self.said["catalog" if "controller" in name else name.rpartition(" ")[2]] += 1

        def say(connection: psycopg.Connection[Any], *args: Any, **options: Any) -> Any:
            note(connection)
            return wait(connection, *args, **options)

        def question(self: Question) -> tuple[bytes, ...]:
            note(self._connection)
            return ask(self)

        monkeypatch.setattr(signals, "await_input", wake)
        monkeypatch.setattr(psycopg.Connection, "wait", say)
        monkeypatch.setattr(Question, "ask", question)
        monkeypatch.setattr(controller, "setproctitle", lambda _: None)

    def during(self, beats: int) -> tuple[Counter[str], Counter[str]]:
        """What is counted while the catalog is spoken to so often."""
        woken, said = Counter(self.woken), Counter(self.said)
        until(lambda: self.said["catalog"] >= said["catalog"] + beats, 30, "it has spoken to the catalog")
        return self.woken - woken, self.said - said

    def end(self) -> None:
        self._stop.set("the test is over")
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def ends(plain: NodeFactory) -> Pair:
    return plain.pair(schema=TABLE)


@pytest.fixture
def catalog(ends: Pair, connector: Connector) -> Iterator[Catalog]:
    """A catalog with a sync `s`."""
    Catalog.init(connector)
    with Catalog.open(connector) as made:
        for node in ends:
            made.add_database(node.database)
        made.add_herd(Herd(name="h", database=ends.source.name, tables=(TableName("public", "t"),)))
        made.add_sync(Sync(name="s", type=SyncType.PUSHDELTA, herd="h", targets=(ends.target.name,)))
        yield made


Start = Callable[[], Controller]


@pytest.fixture
def start(catalog: Catalog, connector: Connector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    made: list[Controller] = []

    def begin() -> Controller:
        made.append(Controller(connector, monkeypatch))
        return made[-1]

    yield begin
    for each in made:
        each.end()


@pytest.fixture
def idle(ends: Pair, catalog: Catalog, start: Start, monkeypatch: pytest.MonkeyPatch) -> Controller:
    """A controller that has nothing to do, and has said so."""
    monkeypatch.setattr(desk, "BEAT", BEAT)
    monkeypatch.setattr(defined, "EVERY", 0.0)
    monkeypatch.setattr(syncrun, "LATELY", 0.0)
    monkeypatch.setattr(syncrun, "AT_REST", BEAT)
    monkeypatch.setattr(syncrun, "HEARTBEAT", 3600.0)
    made = start()
    until(lambda: [state.state for state in catalog.states()] == [State.IDLE], 20, "it is idle")
    key = Install().lock_key("bell") & 0xFFFFFFFF
    until(lambda: ends.source.value(HOLDERS, [key]) == 1, 10, "the bell is armed")
    made.during(2)
    return made


def test_an_idle_controller_says_one_thing_to_each_server_when_it_wakes(idle: Controller) -> None:
    woken, said = idle.during(10)
    assert woken["main"] == 0, "nothing is declared anew"
    assert woken["desk"] <= said["catalog"] + 1
    assert said["read"] <= woken["link"] + 1, "whether anything was logged; no transaction has ended, so no definition"
    assert said["write"] <= woken["link"] + 1, "whether definitions have changed"
    assert set(said) <= {"catalog", "read", "write"}


def test_an_idle_controller_writes_nothing(idle: Controller, ends: Pair) -> None:
    snapshots = []
    for _ in range(2):
        snapshots.append(ends.source.value("select txid_current_snapshot()::text"))
        idle.during(5)
    assert snapshots[0] == snapshots[1]


def test_an_idle_controller_hears_at_once_what_happens(
    idle: Controller, ends: Pair, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "BEAT", 3600.0)
    monkeypatch.setattr(syncrun, "AT_REST", 3600.0)
    ends.source.execute("insert into t values (1, 'x')")
    until(lambda: ends.target.execute("select v from t") == [("x",)], 4, "the row is there")
    kick = catalog.kick("s")
    until(lambda: catalog.kick_results(kick), 4, "the kick is answered")
    catalog.set_paused("s", True)
    until(lambda: not catalog.locked("sync", "s"), 4, "it has left")


def test_a_kick_of_before_there_are_links_is_handed_to_them(
    catalog: Catalog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "BEAT", 3600.0)
    kick = catalog.kick("s")
    start()
    until(lambda: catalog.kick_results(kick), 20, "the kick is answered")


def test_who_does_not_speak_is_silent(idle: Controller, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalog.silence("sync", "s") is not None
    monkeypatch.setattr(desk, "BEAT", 3600.0)
    until(lambda: (catalog.silence("sync", "s") or timedelta()) > timedelta(seconds=0.5), 5, "it is silent")
    assert catalog.silence("sync", "other") is None

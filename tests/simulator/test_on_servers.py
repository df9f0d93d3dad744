"""A handful of the simulator's histories on real servers: the same events, by real transactions and concurrent links.

What an event means is the simulator's; when it happens is up to the servers. Each link has a thread of its own and is
not waited for, so batches meet transactions that are open, and each other. Clocks, crashes and masters that come and go
are left to the model and to `tests/chaos`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from replicator.errors import ReplicatorError
from replicator.model import SyncType
from replicator.purge import purge_once
from replicator.purge.rule import State
from replicator.signals import Stop
from replicator.syncrun import LinkRunner
from tests.fixtures.lab import Build, Lab
from tests.fixtures.nodes import Node, NodeFactory
from tests.simulator.history import Event, draw

TABLES = "create table t (id int primary key, v text); create table c (id int primary key, n bigint not null default 0)"
STRATEGIES = {"latest": "latest", "source": "source", "target": "target", "order": "m2, m1, m3", "random": "random"}
REFUSED = (
    *(psycopg.errors.LockNotAvailable, psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected),
    psycopg.errors.UniqueViolation,
)

Connection = psycopg.Connection[Any]


@dataclass
class Session:
    """A connection of an application. written: what its open transaction has done: values with those they replaced."""

    connection: Connection
    written: dict[str, str | None] = field(default_factory=dict)
    added: dict[int, int] = field(default_factory=dict)


class Application:
    """The applications of one master, with up to three transactions open."""

    def __init__(self, node: Node, world: World, stack: ExitStack) -> None:
        self._node, self._world, self._stack = node, world, stack
        self._alone = self._session()
        self._open: list[Session] = []
        self._idle: list[Session] = []

    def _session(self) -> Session:
        connection = self._stack.enter_context(self._node.connect())
        connection.execute("set lock_timeout = '50ms'")
        return Session(connection)

    def open(self, isolation: str) -> None:
        if len(self._open) < 3:
            session = self._idle.pop() if self._idle else self._session()
            session.connection.execute(f"begin isolation level {isolation}")
            self._open.append(session)

    def end(self, place: int, how: str) -> None:
        if place < len(self._open):
            session = self._open.pop(place)
            session.connection.execute(how)
            self._idle.append(session)
            if how == "commit":
                self._world.acknowledge(session)
            session.written, session.added = {}, {}

    def end_all(self) -> None:
        while self._open:
            self.end(0, "commit")

    def write(self, kind: str, place: int, key: int, to: int, gain: int) -> None:
        """One write, in the open transaction of that place or in one of its own. One that is refused is not done."""
        session = self._open[place] if place < len(self._open) else self._alone
        try:
            self._write(session, kind, key, to, gain)
        except REFUSED:
            if session is not self._alone:
                self.end(self._open.index(session), "rollback")
            return
        if session is self._alone:
            self._world.acknowledge(session)
            session.written, session.added = {}, {}

    def _write(self, session: Session, kind: str, key: int, to: int, gain: int) -> None:
        run = session.connection.execute
        if kind == "increment":
            run("update c set n = n + %s where id = %s", [gain, key])
            session.added[key] = session.added.get(key, 0) + gain
            return
        value = self._world.value(self._node)
        old = run("select v from t where id = %s for update", [key]).fetchone()
        if kind == "delete":
            run("delete from t where id = %s", [key])
            session.written[f"deletion {value}"] = old[0] if old else None
            return
        if kind == "move":
            run("update t set id = %s, v = %s where id = %s", [to, value, key])
            if old is None:
                return
        else:
            new = "insert into t (v, id) values (%s, %s) on conflict do nothing"
            if run("update t set v = %s where id = %s" if old else new, [value, key]).rowcount == 0:
                return
        session.written[value] = old[0] if old else None


class Line:
    """A link in a thread of its own: it runs when told, and begins anew after an error. cut: it does not."""

    def __init__(self, runner: LinkRunner) -> None:
        self.cut = False
        self._runner = runner
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=str(runner.link))
        self._thread.start()

    def run(self) -> None:
        if not self.cut:
            self._orders.put(True)

    def end(self) -> None:
        self._orders.put(False)
        self._thread.join()
        self._runner.close()

    def _main(self) -> None:
        while self._orders.get():
            try:
                self._runner.run()
            except ReplicatorError:
                self._runner.close()


class World:
    """The masters, their applications, and the links between all of them."""

    def __init__(self, made: Lab, nodes: list[Node], stack: ExitStack) -> None:
        self.values: dict[str, str | None] = {}
        self.total: dict[int, int] = {}
        self._made, self._nodes = made, nodes
        self._state: State = {}
        self._applications = [Application(node, self, stack) for node in nodes]
        self._lines = {(r.link.source.name, r.link.target.name): Line(r) for r in made.sync()}
        self._numbers = 0
        stack.callback(lambda: [line.end() for line in self._lines.values()])

    def value(self, node: Node) -> str:
        self._numbers += 1
        return f"{node.name} {self._numbers}"

    def acknowledge(self, session: Session) -> None:
        self.values |= session.written
        for key, gain in session.added.items():
            self.total[key] = self.total.get(key, 0) + gain

    def step(self, event: Event) -> None:
        """One event of a history, if it means something here."""
        kind, (number, *rest) = event
        if number > len(self._nodes):
            return
        application = self._applications[number - 1]
        match kind:
            case "write" | "delete" | "increment" | "move":
                place, key, to, gain = rest
                application.write(kind, place, key, to, gain)
            case "open" | "keep":
                application.open("read committed" if kind == "open" else "repeatable read")
            case "commit" | "abort":
                application.end(rest[0] % 3, "commit" if kind == "commit" else "rollback")
            case "run" | "read" | "land" | "cut" | "heal":
                self._link(kind, (f"m{number}", f"m{rest[0]}"))
            case "round":
                for line in self._lines.values():
                    line.run()
            case "survey" | "purge":
                purge_once(self._made.topology, self._made.install, self._made.connector, self._state, stop=Stop())

    def _link(self, kind: str, ends: tuple[str, str]) -> None:
        line = self._lines.get(ends)
        if line is None:
            return
        if kind in ("cut", "heal"):
            line.cut = kind == "cut"
        else:
            line.run()

    def settle(self) -> None:
        """Commit what is open, and let everything arrive."""
        for application in self._applications:
            application.end_all()
        for line in self._lines.values():
            line.end()
        self._made.settle()


@contextmanager
def playing(made: Lab, nodes: list[Node]) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(made, nodes, stack)


def unaccounted(world: World, nodes: list[Node]) -> set[str]:
    """Values that are not there, were not replaced by one who knew them or deleted, and are in no ledger."""
    known = {value for (value,) in nodes[0].execute("select v from t")}
    known |= {value for value in world.values if value.startswith("deletion")}
    for node in nodes:
        query = "select incoming_row ->> 'v', local_row ->> 'v' from pgherd.conflict"
        known |= {value for row in node.execute(query) for value in row if value}
    todo = list(known)
    while todo:
        parent = world.values.get(todo.pop())
        if parent and parent not in known:
            known.add(parent)
            todo.append(parent)
    return {value for value in world.values if value not in known}


@pytest.mark.parametrize(
    ("strategy", "seed"),
    [("latest", 1), ("source", 3), ("target", 4), ("order", 5), ("random", 6)],
)
def test_a_history_ends_well_on_servers_too(strategy: str, seed: int, node_factory: NodeFactory, lab: Build) -> None:
    history = draw(seed, strategy)
    nodes = [node_factory(f"m{number}", schema=TABLES) for number in (1, 2, 3)]
    for table in ("t", "c"):
        nodes[0].execute(f"insert into {table} (id) select i - 1 from generate_series(1, %s) i", [history.keys])
    made = lab(nodes, SyncType.SWAP, ("t", "c"), strategy=STRATEGIES[strategy], counters=("n",))
    made.settle()
    with playing(made, nodes) as world:
        for event in history.events:
            world.step(event)
        world.settle()
        for table in ("t", "c"):
            held = [node.execute(f"select * from {table} order by 1") for node in nodes]
            assert held[0] == held[1] == held[2], f"{strategy}, seed {seed}: {table} differs"
        assert held[0] == [(key, world.total.get(key, 0)) for key in range(history.keys)]
        assert not unaccounted(world, nodes)

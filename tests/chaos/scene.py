"""Masters, a slave of the first one, what is declared of them, and an engine that is killed at failpoints."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from replicator.catalog import Catalog
from replicator.config import load
from replicator.failpoint import Name
from replicator.model import DbGroup, OneTimeCopy
from replicator.postgres import Connector
from tests.chaos.applications import SHARED, Application, Connection, Written
from tests.chaos.declared import FULL, ON_SLAVE, PUSH, PUSHED, SWAP, TABLES, declare, settings
from tests.chaos.engine import PURGE, Engine
from tests.chaos.judge import SWAPPED, Verdict, judge
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until

REACHED = 60.0
"""Seconds within which a failpoint is reached, on a busy machine too."""

STIR_EVERY = 0.15


@dataclass
class Tally:
    """What was done: kills by failpoint, how often that was met, the seconds that awaited recoveries took."""

    kills: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Act:
    """Failpoints that one process dies at, in the order in which it meets them.

    before: with no process of that role alive. after: with it whole again. flowing: its failpoints are met again and
    again, in any order, while applications write.
    """

    title: str
    role: str
    names: tuple[Name, ...]
    before: Callable[[Scene], None] = lambda _: None
    after: Callable[[Scene], None] = lambda _: None
    flowing: bool = False


class Scene:
    """Nodes, declarations, engine. pace: seconds between two writes of an application, at most. bug: see `bugs`.

    pushed: the tables that the slave has by change. With none of the masters' they are by themselves.
    """

    def __init__(
        self,
        factory: NodeFactory,
        catalog: Node,
        folder: Path,
        *,
        masters: int = 3,
        seed: int = 1,
        pace: float = 0.02,
        bug: str = "",
        pushed: Sequence[str] = PUSHED,
    ) -> None:
        self.seed, self.pace = seed, pace
        self.chance = random.Random(seed)
        self.masters = [factory(f"m{number + 1}", schema=TABLES) for number in range(masters)]
        self.slave = factory("slave", schema=ON_SLAVE)
        self.joined: list[Node] = []
        self.written, self.tally = Written(), Tally()
        self._stirring: list[tuple[Application, Connection]] = []
        self._stirred = 0
        self._factory, self._round, self._markers, self._kick = factory, 0, 0, 0
        self._settings = settings(folder, catalog)
        self.connector = Connector(load(self._settings))
        Catalog.init(self.connector)
        self._pushed = pushed
        declare(self.connector, self.masters, self.slave, pushed)
        self.engine = Engine(self._settings, bug)
        self.masters[0].execute(f"insert into t select i, 'first ' || i from generate_series(1, {SHARED}) i")

    @property
    def _others(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.masters[1:])

    # -- what is going on

    def begin(self) -> None:
        """Start the engine, and wait until the masters have joined: until then only the first may be written."""
        for role in (SWAP, PUSH, FULL, PURGE):
            self.engine.start(role)
        for node in self.masters[1:]:
            self._await_tables(node)
        if "t" in self._pushed:
            until(lambda: self.slave.value("select count(*) from t"), REACHED, "the slave is filled")

    @contextmanager
    def load(self) -> Iterator[None]:
        """Let applications write on all masters meanwhile."""
        self._round += 1
        stop = threading.Event()
        seed = self.seed * 100 + self._round
        writers = [
            Application(node, number, self.written, seed, self.pace, stop)
            for number, node in enumerate(self.masters, 1)
        ]
        try:
            with ExitStack() as stack:
                self._stirring = [
                    (
                        Application(node, number, self.written, seed + 50, self.pace, stop),
                        stack.enter_context(node.connect()),
                    )
                    for number, node in enumerate(self.masters, 1)
                ]
                for writer in writers:
                    writer.start()
                yield
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        crashes = [writer.crash for writer in writers if writer.crash]
        assert not crashes, f"an application failed: {crashes}"

    def kill_at(self, role: str, name: str, hit: int = 1) -> None:
        """Kill a process, and start it again so that it dies at a failpoint; return when it has."""
        self.engine.kill(role)
        process = self.engine.start(role, f"{name}:{hit}")

        def dead() -> bool:
            self._stir()
            process.join(STIR_EVERY)
            return process.exitcode is not None

        until(dead, REACHED, f"{role} reaches {name}")
        assert process.exitcode == -signal.SIGKILL, f"{role} ended with {process.exitcode}, not at {name}"
        self.tally.kills[name] += 1
        self.tally.met[name] += hit

    def _stir(self) -> None:
        """Write on all masters at once, so that there is something of every kind to be met."""
        self._stirred += 1
        for application, connection in self._stirring:
            application.stir(connection, -self._stirred)

    def recover(self, role: str) -> None:
        """Start a process that died again, whole."""
        self.engine.kill(role)
        self.engine.start(role)

    def time_recovery(self, role: str) -> None:
        """Start it again, and note how long it takes until what is written now has arrived everywhere."""
        began = time.monotonic()
        self.recover(role)
        self.await_arrival()
        self.tally.recoveries.append(time.monotonic() - began)

    # -- what is asked for

    def copy_anew(self, name: str) -> None:
        """Order a copy of a sync's tables."""
        with Catalog.open(self.connector) as catalog:
            sync = catalog.topology().syncs[name]
            catalog.update_sync(replace(sync, onetimecopy=OneTimeCopy.ALWAYS))

    def kick(self) -> None:
        """Have the whole copy made."""
        with Catalog.open(self.connector) as catalog:
            self._kick = catalog.kick(FULL)

    def await_answer(self) -> None:
        """Wait until the kick is answered, without an error."""

        def answered() -> bool:
            with Catalog.open(self.connector) as catalog:
                answers = catalog.kick_results(self._kick)
            assert answers and not answers[0].error, answers
            return True

        until(answered, REACHED, "the kick is answered")

    def add_master(self) -> Node:
        """Declare one more master, which is empty. It takes the place of one that was added before."""
        node = self._factory(f"j{len(self.joined) + 1}", schema=TABLES)
        self.joined.append(node)
        with Catalog.open(self.connector) as catalog:
            catalog.add_database(node.database)
            catalog.update_dbgroup(DbGroup(name="others", members=(*self._others, node.name)))
        return node

    def await_joined(self) -> None:
        """Wait until it has all tables."""
        self._await_tables(self.joined[-1])

    @staticmethod
    def _await_tables(node: Node) -> None:
        query = "select count(*) from pgherd.progress_table where sync = %s and source = 'm1' and state <> 'copying'"
        exists = "select to_regclass('pgherd.progress_table') is not null"
        until(
            lambda: node.value(exists) and node.value(query, [SWAP]) == len(SWAPPED),
            REACHED,
            f"{node.name} has all tables",
        )

    def play(self, act: Act, names: Sequence[Name], *, timed: bool = False) -> None:
        """Kill a process at failpoints of an act, one after the other; then let it go on.

        timed: let it recover from each death of an act that flows, at whatever time the failpoint is met.
        """
        self.engine.kill(act.role)
        act.before(self)
        for name in names:
            again = timed and act.flowing
            # What makes links ready is met once by each of them.
            self.kill_at(act.role, name, self.chance.randint(1, 5) if again and not name.startswith("prepare") else 1)
            if again:
                self.time_recovery(act.role)
        self.recover(act.role)
        act.after(self)

    # -- the end

    @property
    def members(self) -> list[Node]:
        """The swap's masters at present."""
        with Catalog.open(self.connector) as catalog:
            group = catalog.topology().dbgroups["others"].members
        return [node for node in (*self.masters, *self.joined) if node.name in ("m1", *group)]

    def await_arrival(self) -> None:
        """Write on each master, and wait until that is everywhere; so what was written before is, too."""
        members = self.members
        before, self._markers = self._markers, self._markers + len(members)
        for number, node in enumerate(members, 1):
            node.execute("insert into t values (%s, 'marker')", [1000 + before + number])
        marks = [1000 + before, 1000 + self._markers]

        def arrived() -> bool:
            assert not self.engine.broken(), self.engine.broken()
            for node in (*members, *([self.slave] if "t" in self._pushed else [])):
                found = node.value("select count(*) from t where id > %s and id <= %s", marks)
                assert found == len(members), f"{node.name} has {found} of {len(members)}"
            return True

        until(arrived, REACHED, "what was written is everywhere")

    def judge(self) -> Verdict:
        """Let everything arrive, while nobody writes, and look at it."""
        # What is decided on arrival is written, and travels, again.
        for _ in range(3):
            self.await_arrival()
        self.kick()
        self.await_answer()
        members = self.members
        left = [node for node in self.joined if node not in members]
        return judge(members, left, self.slave, self.written, self._pushed)

    def close(self) -> None:
        """End the engine."""
        self.engine.close()

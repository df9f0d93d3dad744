"""A thread that keeps one link going: does what `pacing` decides, tells the journal, survives what may be survived.

What a run is belongs to `syncrun`; storing the journal, and deciding which links there are, to `controller`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import TransactionStatus

from replicator.change import RunResult
from replicator.errors import HookStops, Policy, ReplicatorError
from replicator.habits import Rhythm
from replicator.journal import Answer, Bad, Good, Journal, News, now
from replicator.logs import log
from replicator.model import Link, Topology
from replicator.pacing import Decision, Pace, Step
from replicator.postgres import Connection, Connector, translated
from replicator.signals import Alarm, Stop

Report = Callable[[str], None]


class Runner(Protocol):
    """What a worker needs of `syncrun.LinkRunner`, which says what each method does."""

    def prepare(self) -> RunResult: ...  # noqa: D102
    def pending(self) -> bool: ...  # noqa: D102
    def run(self, kicked: bool = False) -> RunResult: ...  # noqa: D102
    def arm(self) -> float: ...  # noqa: D102
    def rang(self) -> bool: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


MakeRunner = Callable[[Link, Topology, Connector, Stop, Report], Runner]


@dataclass(frozen=True)
class WatchedConnector(Connector):
    """A connector that knows its open connections: to see when one breaks, and to cancel them from another thread."""

    _opened: WeakKeyDictionary[Connection, str] = field(default_factory=WeakKeyDictionary, init=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, compare=False)

    def _open(self, params: Mapping[str, str], name: str, purpose: str, *, autocommit: bool) -> Connection:
        connection = super()._open(params, name, purpose, autocommit=autocommit)
        with self._lock:
            self._opened[connection] = name
        return connection

    def sockets(self) -> list[int]:
        """The sockets of idle connections: there is something to read when a server rings or closes one."""
        return [connection.fileno() for connection, _ in self._idle_ones()]

    def check(self) -> None:
        """Raise ConnectionLost if a server has closed an idle connection. Costs no round trip; in the owner's thread.

        A link that has nothing to move talks to its source only, and would not notice that the target is gone.
        """
        for connection, name in self._idle_ones():
            with translated(name):
                connection.pgconn.consume_input()

    def cancel_all(self) -> None:
        """Ask the servers to end the running statements. Does not wait: a server may not answer."""
        for connection, _ in self._open_ones():
            threading.Thread(target=_cancel, args=(connection,), name="cancel", daemon=True).start()

    def _idle_ones(self) -> list[tuple[Connection, str]]:
        idle = TransactionStatus.IDLE
        return [each for each in self._open_ones() if each[0].pgconn.transaction_status == idle]

    def _open_ones(self) -> list[tuple[Connection, str]]:
        with self._lock:
            return [(connection, name) for connection, name in self._opened.items() if not connection.closed]


def _cancel(connection: Connection) -> None:
    try:
        connection.cancel_safe(timeout=2.0)
    except (psycopg.Error, OSError) as error:
        log.info("a statement could not be cancelled: %s", error)


class Worker:
    """Runs a link in its own thread from `start` until `halt`.

    news: set when there is something to tell. process: requested to stop by a defect of this link.
    prepared: whether it has been ready to run (a copy that was due is done). crash: the defect that ended it.
    aborts: why the sync is to be paused; the worker has halted.
    """

    def __init__(
        self,
        link: Link,
        topology: Topology,
        connector: Connector,
        make_runner: MakeRunner,
        *,
        news: Alarm,
        process: Stop,
        rhythm: Rhythm | None = None,
    ) -> None:
        self.link = link
        self.journal = Journal(news)
        self.prepared = False
        self.crash: BaseException | None = None
        self.aborts = ""
        self._armed = False
        self._process = process
        self._stop = Stop()
        self._wake = Alarm()
        self._lock = threading.Lock()
        self._connector = WatchedConnector(connector.config)
        self._runner = make_runner(link, topology, self._connector, self._stop, self._say)
        self._pace = Pace(link.sync, time.monotonic(), rhythm=rhythm)
        self._way = f"{link.source.name} -> {link.target.name}"
        self._trouble = ""
        self._thread = threading.Thread(target=self._main, name=f"link {link}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def kick(self, kick_id: int) -> None:
        """Run as soon as possible; the journal will answer for this kick."""
        with self._lock:
            self._pace.kick(kick_id, time.monotonic())
        self._wake.set()

    def keep_time(self, rhythm: Rhythm) -> None:
        """Look and try again by these times from now on."""
        with self._lock:
            self._pace.rhythm = rhythm

    def nudge(self) -> None:
        """Try again now if an error is being waited out."""
        with self._lock:
            self._pace.nudge(time.monotonic())
        self._wake.set()

    def halt(self, why: str) -> None:
        """Ask the thread to end; `join` awaits it."""
        self._stop.set(why)
        self._wake.set()

    def cancel(self) -> None:
        """Cancel its statements, for a thread that does not end by itself."""
        self._connector.cancel_all()

    def join(self, seconds: float) -> bool:
        """Wait until the thread has ended. False: it has not, in that time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _say(self, text: str) -> None:
        if text.startswith("copying") and self.journal.standing.state != "running":
            self.journal.stand("copying", text)
        else:
            self.journal.detail(text)

    def _main(self) -> None:
        log.info("%s: begins", self._way)
        try:
            while not self._stop.is_set():
                self._step(self._decide())
        except BaseException as error:  # whatever it is, the controller must hear of it
            if not self._stop.is_set():
                self._crashed(error)
            elif not isinstance(error, ReplicatorError):
                log.warning("%s: while stopping: %r", self._way, error)
        finally:
            self._runner.close()
            self._wake.close()
            self.journal.stand("stopped", self._stop.reason)

    def _crashed(self, error: BaseException) -> None:
        self.crash = error
        log.error("%s: a defect, this process starts afresh", self._way, exc_info=error)
        self.journal.add(News(bad=Bad(f"{type(error).__name__}: {error}", now(), now())))
        self._process.set("a defect")

    def _decide(self) -> Decision:
        with self._lock:
            return self._pace.next(time.monotonic())

    def _step(self, decision: Decision) -> None:
        began = now()
        try:
            match decision.step:
                case Step.REST:
                    self._rest(decision.seconds)
                case Step.PREPARE:
                    self._prepare()
                case Step.LOOK:
                    self._look()
                case Step.RUN:
                    self._run()
        except ReplicatorError as error:
            if error.policy is Policy.STOP or self._stop.is_set():
                raise
            # Whoever reads it sees which link it is about.
            self._failed(Bad(str(error).removeprefix(f"{self.link}: "), began, now()), error)

    def _rest(self, seconds: float) -> None:
        if not self._rang():  # it may have while another answer was awaited
            self._wake.wait(seconds, *self._connector.sockets())
            self._connector.check()
            self._rang()

    def _rang(self) -> bool:
        rang = self._runner.rang()
        if rang:
            with self._lock:
                self._pace.rang(time.monotonic())
        return rang

    def _prepare(self) -> None:
        if not self._trouble:
            self.journal.stand("starting")
        began = now()
        result = self._runner.prepare()
        if not result.empty:
            self.journal.add(News(good=Good(result, began, now())))
            log.info("%s: copied %s in %.1f s", self._way, ", ".join(result.copied), result.seconds)
        self.prepared = True
        with self._lock:
            self._pace.prepared(time.monotonic())
        if not self._trouble:
            self.journal.stand("idle")

    def _look(self) -> None:
        # What was logged before it was armed rings no bell, so it looks after that. Who finds nothing arms.
        rest = self._runner.arm() if self._armed else 0.0
        found = self._runner.pending()
        if not found and not rest and (rest := self._runner.arm()):
            found = self._runner.pending()
        self._armed = bool(rest) and not found
        with self._lock:
            self._pace.looked(found, time.monotonic(), rest)
        if not found:
            self._at_ease()

    def _run(self) -> None:
        self._armed = False
        began, clock = now(), time.monotonic()
        with self._lock:
            asked = self._pace.began(clock)
        self.journal.stand("running", soon=False)
        result = self._runner.run(kicked=bool(asked))
        with self._lock:
            kick = self._pace.ran(result.empty, time.monotonic() - clock, time.monotonic())
        good = Good(result, began, now()) if asked or not result.empty else None
        self.journal.add(News(good=good, answers=(Answer(kick, "; ".join(result.left) or None),) if kick else ()))
        if result.copied:
            log.info("%s: copied %s in %.1f s", self._way, ", ".join(result.copied), result.seconds)
        if result.trouble is not None:
            raise result.trouble
        self._at_ease()
        if aborted := result.counts.aborted:
            self.aborts = f"{self._way}: conflicts: {aborted}; the strategy is abort; see `replicator conflicts list`"
            self.halt("a conflict, and the strategy is abort")

    def _at_ease(self) -> None:
        if self._trouble:
            log.info("%s: goes on", self._way)
            self._trouble = ""
        if self.journal.standing.state != "idle":
            self.journal.stand("idle")

    def _failed(self, bad: Bad, error: ReplicatorError) -> None:
        self._armed = False
        self._runner.close()
        with self._lock:
            verdict, kick = self._pace.failed(error, time.monotonic())
        self.journal.stand(verdict.state, bad.error)
        self.journal.add(News(bad=bad, answers=(Answer(kick, bad.error),) if kick else ()))
        if bad.error != self._trouble:
            log.warning("%s: %s: %s", self._way, verdict.state, bad.error)
        self._trouble = bad.error
        if isinstance(error, HookStops):
            self.aborts = bad.error
            self.halt("a hook stops the sync")

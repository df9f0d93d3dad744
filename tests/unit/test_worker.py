"""A link's thread with a runner that does as the test tells it: errors, kicks, stopping, defects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from replicator.change import Counts, RunResult
from replicator.config import Config
from replicator.errors import HookFailed, HookStops, Interrupted, Refused, ReplicatorError, Unreachable
from replicator.journal import News
from replicator.model import Database, Install, Link, Sync, SyncType, TableName, Topology
from replicator.postgres import Connector
from replicator.signals import Alarm, Stop
from replicator.worker import Report, Worker
from tests.fixtures.wait import until

MOVED = RunResult(counts=Counts(inserted=5), seconds=0.1)


@dataclass
class FakeRunner:
    """What the test wants the link to meet. Errors are raised by `prepare` while they are set."""

    stop: Stop = field(default_factory=Stop)
    report: Report = lambda _: None
    error: BaseException | None = None
    run_error: BaseException | None = None
    work: int = 0
    trouble: ReplicatorError | None = None
    copied: RunResult = field(default_factory=RunResult)
    kept_busy: threading.Event | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    log: list[str] = field(default_factory=list)

    def prepare(self) -> RunResult:
        self.log.append("prepare")
        if self.error:
            raise self.error
        self.report("copying t 40 %")
        assert self.gate.wait(5)
        return self.copied

    def pending(self) -> bool:
        return self.work > 0

    def arm(self) -> float:
        return 0.0

    def rang(self) -> bool:
        return False

    def run(self, kicked: bool = False) -> RunResult:
        self.log.append("kicked run" if kicked else "run")
        if self.run_error:
            error, self.run_error = self.run_error, None
            raise error
        if self.kept_busy:
            while not self.kept_busy.wait(0.01):
                self.stop.raise_if_set()
        if not self.work:
            return RunResult()
        self.work -= 1
        return replace(MOVED, trouble=self.trouble)

    def close(self) -> None:
        self.log.append("close")


def link(**fields: object) -> Link:
    sync = Sync(name="s", type=SyncType.PUSHDELTA, herd="h", targets=("b",), **fields)  # type: ignore[arg-type]
    ends = {name: Database(name=name, dbname=name) for name in "ab"}
    tables = (TableName("public", "t"),)
    return Link(install=Install(), sync=sync, source=ends["a"], target=ends["b"], lead="a", tables=tables)


Start = Callable[..., Worker]


@pytest.fixture
def runner() -> FakeRunner:
    fake = FakeRunner()
    fake.gate.set()
    return fake


@pytest.fixture
def process() -> Stop:
    """The stop of the process that the link belongs to."""
    return Stop()


@pytest.fixture
def start(runner: FakeRunner, process: Stop) -> Iterator[Start]:
    workers: list[Worker] = []
    news = Alarm()

    def make(_link: Link, _topology: Topology, _connector: Connector, stop: Stop, report: Report) -> FakeRunner:
        runner.stop, runner.report = stop, report
        return runner

    def begin(**fields: object) -> Worker:
        workers.append(Worker(link(**fields), Topology(), Connector(Config()), make, news=news, process=process))
        workers[-1].start()
        return workers[-1]

    yield begin
    for worker in workers:
        worker.halt("the test is over")
        assert worker.join(5)
    news.close()


def state(worker: Worker, wanted: str) -> None:
    until(lambda: worker.journal.standing.state == wanted, 5, f"state {wanted}, not {worker.journal.standing}")


def news(worker: Worker, seconds: float = 5) -> News:
    return until(worker.journal.take, seconds, "something happened")


def test_what_goes_wrong_after_the_commit_is_told_beside_the_run(start: Start, runner: FakeRunner) -> None:
    runner.work, runner.trouble = 1, HookFailed("too late")
    worker = start()
    state(worker, "waiting")
    told = news(worker)
    assert told.good is not None
    assert told.good.result.counts == MOVED.counts
    assert told.bad is not None
    assert told.bad.error == "too late"


def test_a_hook_that_stops_the_sync_ends_the_link(start: Start, runner: FakeRunner) -> None:
    runner.work, runner.run_error = 1, HookStops("enough")
    worker = start()
    until(lambda: not worker.alive, 5, "the link has ended")
    assert worker.aborts == "enough"


def test_it_runs_while_there_is_work_and_then_is_idle(start: Start, runner: FakeRunner) -> None:
    runner.work = 3
    worker = start()
    until(lambda: runner.work == 0, 5, "all is moved")
    state(worker, "idle")
    good = worker.journal.take().good
    assert good and good.result.counts.inserted == 15
    assert runner.log == ["prepare", "run", "run", "run"]


def test_an_idle_link_records_no_runs(start: Start, runner: FakeRunner) -> None:
    worker = start()
    state(worker, "idle")
    assert not worker.journal.take()
    assert "run" not in runner.log


def test_a_kick_is_answered_and_its_empty_run_is_recorded(start: Start, runner: FakeRunner) -> None:
    worker = start(autokick=False)
    state(worker, "idle")
    worker.kick(7)
    told = news(worker)
    assert [(answer.kick, answer.error) for answer in told.answers] == [(7, None)]
    assert told.good and told.good.result.empty
    assert runner.log[-1] == "kicked run"


def test_an_outage_is_told_and_ends_by_itself(start: Start, runner: FakeRunner) -> None:
    runner.error = Unreachable("b does not answer.")
    worker = start()
    state(worker, "retrying")
    assert worker.journal.standing.detail == "b does not answer."
    told = news(worker)
    assert told.bad and told.bad.error == "b does not answer."
    until(lambda: runner.log.count("prepare") >= 3, 5, "it tries again")
    assert runner.log.count("close") >= 2, "after an error the connections are not used again"
    runner.error, runner.work = None, 1
    state(worker, "idle")
    assert runner.work == 0


def test_what_a_person_must_mend_waits_until_told_that_it_may_be_mended(start: Start, runner: FakeRunner) -> None:
    runner.error = Refused("login refused.")
    worker = start()
    state(worker, "waiting")
    runner.error = None
    worker.nudge()
    state(worker, "idle")


def test_a_kick_of_a_link_that_cannot_run_says_why(start: Start, runner: FakeRunner) -> None:
    runner.error = Refused("login refused.")
    worker = start()
    state(worker, "waiting")
    worker.journal.take()
    worker.kick(1)
    (answer,) = news(worker).answers
    assert (answer.kick, answer.error) == (1, "login refused.")


def test_a_first_copy_is_shown_with_its_progress(start: Start, runner: FakeRunner) -> None:
    runner.gate.clear()
    worker = start()
    state(worker, "copying")
    assert worker.journal.standing.detail == "copying t 40 %"
    assert not worker.prepared
    runner.gate.set()
    state(worker, "idle")
    assert worker.journal.standing.detail == ""
    assert worker.prepared


def test_a_first_copy_is_recorded(start: Start, runner: FakeRunner) -> None:
    runner.copied = RunResult(counts=Counts(inserted=9), copied=("public.t",))
    told = news(start())
    assert told.good and told.good.result == runner.copied


def test_a_halt_interrupts_a_run_without_an_error(start: Start, runner: FakeRunner) -> None:
    runner.work, runner.kept_busy = 1, threading.Event()
    worker = start()
    state(worker, "running")
    worker.halt("enough")
    assert worker.join(5)
    assert worker.crash is None
    assert not worker.journal.take()
    assert (worker.journal.standing.state, worker.journal.standing.detail) == ("stopped", "enough")
    assert runner.log[-1] == "close"


def test_a_halt_interrupts_the_longest_wait(start: Start, runner: FakeRunner) -> None:
    worker = start(autokick=False)
    state(worker, "idle")
    worker.halt("enough")
    assert worker.join(1)


@pytest.mark.parametrize("defect", [ZeroDivisionError("oops"), Interrupted("nobody asked for it")])
def test_a_defect_ends_the_thread_and_the_process(
    start: Start, runner: FakeRunner, process: Stop, defect: BaseException
) -> None:
    runner.work, runner.run_error = 1, defect
    worker = start()
    assert process.wait(5)
    assert worker.join(5)
    assert worker.crash is defect
    told = worker.journal.take()
    assert told.bad and str(defect) in told.bad.error
    assert runner.log[-1] == "close"


def test_a_failed_run_is_done_again(start: Start, runner: FakeRunner) -> None:
    runner.work, runner.run_error = 1, ReplicatorError("hm")
    runner.run_error = Unreachable("gone in the middle")
    worker = start()
    until(lambda: runner.work == 0, 5, "it is moved after all")
    state(worker, "idle")
    assert runner.log == ["prepare", "run", "close", "prepare", "run"]

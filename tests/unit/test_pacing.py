"""The pace of a link, on a clock that the test turns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from replicator import pacing
from replicator.errors import ConnectionLost, LockedOut, Refused, ReplicatorError, ServerError, Unreachable
from replicator.habits import Rhythm
from replicator.model import Sync, SyncType
from replicator.pacing import Pace, Step


class Clock:
    """A pace, and the time that it is told."""

    def __init__(self, type: SyncType = SyncType.PUSHDELTA, **fields: Any) -> None:
        sync = Sync(name="s", type=type, herd="h", targets=("t",), **fields)
        self.now = 100.0
        self.pace = Pace(sync, self.now, jitter=lambda: 1.0)

    @property
    def step(self) -> Step:
        return self.pace.next(self.now).step

    @property
    def rest(self) -> float:
        decision = self.pace.next(self.now)
        assert decision.step is Step.REST
        return decision.seconds

    def ready(self) -> Clock:
        self.pace.prepared(self.now)
        return self

    def run(self, *, empty: bool = False, seconds: float = 0.0) -> int:
        self.pace.began(self.now)
        self.now += seconds
        return self.pace.ran(empty, seconds, self.now)

    def fail(self, error: ReplicatorError) -> tuple[str, float, int]:
        verdict, kick = self.pace.failed(error, self.now)
        return verdict.state, verdict.seconds, kick


def test_it_prepares_then_looks_then_runs_what_it_found() -> None:
    clock = Clock()
    assert clock.step is Step.PREPARE
    clock.ready()
    assert clock.step is Step.LOOK
    clock.pace.looked(True, clock.now)
    assert clock.step is Step.RUN


def test_looks_become_rare_when_nothing_happens_and_frequent_after_a_run() -> None:
    clock = Clock().ready()
    rests = []
    for _ in range(20):
        clock.pace.looked(False, clock.now)
        rests.append(clock.rest)
        clock.now += clock.rest
    assert rests[0] == pytest.approx(pacing.SOON)
    assert rests == sorted(rests)
    assert rests[-1] == pytest.approx(Rhythm().late)
    clock.run()
    assert clock.rest == pytest.approx(pacing.SOON)


def test_a_run_that_finds_nothing_after_all_does_not_make_a_busy_loop() -> None:
    clock = Clock().ready()
    for _ in range(20):
        assert clock.step is Step.LOOK
        clock.pace.looked(True, clock.now)
        clock.run(empty=True)
        clock.now += clock.rest
    clock.pace.looked(True, clock.now)
    clock.run(empty=True)
    assert clock.rest == pytest.approx(Rhythm().late)


def test_a_sync_without_autokick_never_looks() -> None:
    clock = Clock(autokick=False).ready()
    assert clock.rest == pacing.FOREVER
    clock.pace.kick(1, clock.now)
    assert clock.step is Step.RUN
    assert clock.run() == 1
    assert clock.rest == pacing.FOREVER


def test_checktime_runs_at_the_start_and_then_at_least_that_often() -> None:
    clock = Clock(autokick=False, checktime=timedelta(seconds=60)).ready()
    assert clock.step is Step.RUN
    clock.run(seconds=2)
    assert clock.rest == pytest.approx(58)
    clock.now += 58
    assert clock.step is Step.RUN
    assert clock.pace.began(clock.now) is True, "a run that was asked for is recorded even if it is empty"


def test_checktime_that_met_an_error_is_made_up_for() -> None:
    clock = Clock(autokick=False, checktime=timedelta(hours=1)).ready()
    clock.pace.began(clock.now)
    _, seconds, _ = clock.fail(Unreachable())
    clock.now += seconds
    clock.ready()
    assert clock.step is Step.RUN


def test_a_whole_copy_rests_at_least_as_long_as_it_took() -> None:
    clock = Clock(SyncType.FULLCOPY).ready()
    clock.run(seconds=7)
    assert clock.rest == pytest.approx(7)
    clock.now += 7
    clock.pace.looked(True, clock.now)
    clock.run(seconds=0.001)
    assert clock.rest == pytest.approx(pacing.LEAST_REST)


def test_a_kick_ends_the_rest_of_a_whole_copy() -> None:
    clock = Clock(SyncType.FULLCOPY).ready()
    clock.run(seconds=7)
    clock.pace.kick(1, clock.now)
    assert clock.step is Step.RUN


def test_only_a_run_that_begins_after_the_kick_serves_it() -> None:
    clock = Clock().ready()
    clock.pace.kick(1, clock.now)
    clock.pace.began(clock.now)
    clock.pace.kick(2, clock.now)
    assert clock.pace.ran(True, 0.1, clock.now) == 1
    assert clock.step is Step.RUN
    assert clock.run() == 2
    assert clock.run() == 0
    assert clock.step is not Step.RUN


def test_passing_errors_back_off_to_ten_seconds_and_start_over_after_success() -> None:
    clock = Clock().ready()
    waits = [clock.fail(Unreachable())[:2] for _ in range(9)]
    assert waits[:3] == [("retrying", 0.2), ("retrying", 0.4), ("retrying", 0.8)]
    assert waits[-1] == ("retrying", Rhythm().last_retry)
    clock.now += 10
    clock.ready()
    clock.pace.looked(False, clock.now)
    assert clock.fail(Unreachable())[1] == 0.2


def test_back_off_grows_while_looks_succeed_and_runs_fail() -> None:
    clock = Clock().ready()
    waits = []
    for _ in range(8):
        clock.pace.looked(True, clock.now)
        clock.pace.began(clock.now)
        waits.append(clock.fail(LockedOut())[1])
        clock.ready()
    assert waits == sorted(waits)
    assert waits[-1] == Rhythm().last_contended


def test_jitter_only_shortens() -> None:
    sync = Sync(name="s", type=SyncType.SWAP, herd="h", targets=("t",))
    pace = Pace(sync, 0.0, jitter=lambda: 0.0)
    assert pace.failed(Unreachable(), 0.0)[0].seconds == pytest.approx(0.1)


def test_what_a_person_must_mend_is_looked_at_every_ten_seconds_or_when_told() -> None:
    clock = Clock()
    assert clock.fail(Refused())[:2] == ("waiting", pacing.LOOK_AGAIN)
    assert clock.rest == pytest.approx(pacing.LOOK_AGAIN)
    clock.pace.nudge(clock.now)
    assert clock.step is Step.PREPARE
    clock.fail(Refused())
    clock.pace.kick(1, clock.now)
    assert clock.step is Step.PREPARE


def test_a_run_that_fails_is_looked_into_once_at_once() -> None:
    clock = Clock().ready()
    clock.pace.looked(True, clock.now)
    assert clock.fail(ServerError())[:2] == ("waiting", Rhythm().first_retry)
    clock.now += Rhythm().first_retry
    clock.ready()
    clock.pace.looked(True, clock.now)
    assert clock.fail(ServerError())[:2] == ("waiting", pacing.LOOK_AGAIN)


def test_a_kick_fails_with_the_attempt_that_it_caused() -> None:
    clock = Clock()
    clock.pace.kick(3, clock.now)
    assert clock.fail(Unreachable())[2] == 3
    assert clock.step is Step.REST
    assert clock.fail(Unreachable())[2] == 0, "it has failed once, and is over"


@pytest.mark.parametrize("error", [LockedOut(), ConnectionLost()])
def test_a_kick_outlives_a_short_contention(error: ReplicatorError) -> None:
    clock = Clock().ready()
    clock.pace.kick(3, clock.now)
    clock.pace.began(clock.now)
    assert clock.fail(error)[2] == 0
    clock.now += 3
    clock.ready()
    assert clock.step is Step.RUN
    assert clock.run(empty=True) == 3


def test_an_armed_link_rests_long_and_runs_when_the_bell_rings() -> None:
    clock = Clock().ready()
    clock.pace.looked(False, clock.now, rest=7.0)
    assert clock.rest == 7.0
    clock.pace.rang(clock.now)
    assert clock.step is Step.RUN

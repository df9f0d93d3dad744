"""Which controllers are started, sent away and started again, and when."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from replicator.config import Config
from replicator.master import nursery as rules
from replicator.master import title
from replicator.master.nursery import Nursery, ending
from replicator.master.watch import wanted
from replicator.model import Sync, SyncType, Topology
from tests.fixtures.wait import until

OBEDIENT = "import sys; sys.stdin.read()"
DEAF = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); sys.stdin.read()"


@dataclass
class Launcher:
    """Starts real processes, and remembers them."""

    code: str = OBEDIENT
    launched: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def __call__(self, name: str, _now: float = 0.0) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", self.code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.launched.append((name, process))
        return process

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.launched]

    def last(self) -> subprocess.Popen[bytes]:
        return self.launched[-1][1]


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    starter = Launcher()
    yield starter
    for _, process in starter.launched:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe
            pipe.close()


def test_the_wanted_are_those_that_are_not_paused() -> None:
    syncs = [Sync(name=n, type=SyncType.SWAP, herd="h", targets=("t",), paused=n == "b") for n in ("c", "b", "a")]
    assert wanted(Topology(syncs={sync.name: sync for sync in syncs})) == ("a", "c")


def test_each_wanted_sync_has_one_controller(launcher: Launcher) -> None:
    nursery = Nursery(launcher)
    nursery.tend(("a", "b"), 0)
    nursery.tend(("a", "b"), 1)
    assert launcher.names == ["a", "b"]
    assert nursery.running() == ["a", "b"]


def test_a_controller_that_is_no_longer_wanted_is_sent_away_and_forgotten(launcher: Launcher) -> None:
    nursery = Nursery(launcher)
    nursery.tend(("a", "b"), 0)
    nursery.tend(("b",), 1)
    assert launcher.launched[0][1].wait(5) == -signal.SIGTERM
    nursery.tend(("b",), 2)
    assert nursery.running() == ["b"]
    nursery.tend(("b",), 3)
    assert list(nursery.children) == ["b"]


def test_one_that_does_not_leave_is_killed_after_its_grace(launcher: Launcher) -> None:
    launcher.code = DEAF
    nursery = Nursery(launcher)
    nursery.tend(("a",), 0)
    assert launcher.last().stdout.readline() == b"1\n"  # type: ignore[union-attr]
    nursery.tend((), 1)
    nursery.tend((), 1 + rules.GRACE)
    assert launcher.last().poll() is None
    nursery.tend((), 1.1 + rules.GRACE)
    assert launcher.last().wait(5) == -signal.SIGKILL


def test_one_that_is_wanted_again_while_it_leaves_is_succeeded_not_doubled(launcher: Launcher) -> None:
    nursery = Nursery(launcher)
    nursery.tend(("a",), 0)
    nursery.tend((), 1)
    nursery.tend(("a",), 1)
    assert launcher.names == ["a"]
    launcher.last().wait(5)
    nursery.tend(("a",), 2)
    assert launcher.names == ["a", "a"]
    assert nursery.running() == ["a"]


def die(nursery: Nursery, launcher: Launcher, now: float) -> float:
    """Kill the only controller at that time; how long until it is started again."""
    launcher.last().kill()
    launcher.last().wait(5)
    nursery.tend(("a",), now)
    return max(0.0, nursery.children["a"].due - now)


def test_one_that_dies_again_and_again_is_started_ever_later(launcher: Launcher) -> None:
    nursery = Nursery(launcher)
    nursery.tend(("a",), 0)
    now, delays = 0.0, []
    for _ in range(10):
        now += 1
        delays.append(die(nursery, launcher, now))
        now += delays[-1]
        nursery.tend(("a",), now)
        assert nursery.running() == ["a"]
    assert delays[:4] == [0.25, 0.5, 1, 2]
    assert delays[-1] == rules.LAST_RESTART


def test_one_that_has_lived_long_is_started_again_at_once(launcher: Launcher) -> None:
    nursery = Nursery(launcher)
    nursery.tend(("a",), 0)
    assert die(nursery, launcher, 1) > 0
    nursery.tend(("a",), 2)
    assert die(nursery, launcher, 2 + rules.LONG_LIFE) == 0
    assert nursery.running() == ["a"]


def test_one_that_leaves_in_order_is_given_time_to_be_no_longer_wanted(launcher: Launcher) -> None:
    launcher.code = ""
    nursery = Nursery(launcher)
    nursery.tend(("a",), 0)
    launcher.last().wait(5)
    nursery.tend(("a",), 1)
    assert nursery.running() == []
    nursery.tend(("a",), 1 + rules.HEARD_BY_THEN)
    assert launcher.names == ["a", "a"]


def test_one_that_cannot_be_launched_is_tried_again_later() -> None:
    attempts: list[str] = []

    def launch(name: str, _now: float) -> subprocess.Popen[bytes]:
        attempts.append(name)
        raise OSError(11, "no more processes")

    nursery = Nursery(launch)
    for now in (0, 0.1, 0.3, 0.4, 5):
        nursery.tend(("a",), now)
    assert len(attempts) == 3
    assert nursery.running() == []


def test_the_child_sees_the_end_of_its_input_when_the_master_lets_go(launcher: Launcher) -> None:
    Nursery(launcher).tend(("a",), 0)
    process = launcher.last()
    assert process.stdin
    process.stdin.close()
    until(lambda: process.poll() == 0, 5, "it has left")


def test_titles_and_endings() -> None:
    assert title(Config(), ("a", "b")) == 'pgherd master: install "pgherd", syncs: a, b'
    assert title(Config(), ()) == 'pgherd master: install "pgherd", syncs: none'
    assert (ending(1), ending(-9)) == ("exit code 1", "signal 9")

"""One controller in reserve: when there is one, and what it is good for. Its program is the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.config import Config
from replicator.errors import ConfigError
from replicator.master import launcher as rules
from replicator.master.launcher import Launcher, Process
from tests.fixtures import processes
from tests.fixtures.wait import until


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """Whoever it starts for a sync finds no configuration, says so and ends."""
    made = Launcher(Config(path=tmp_path / "none.toml"), echo=False)
    yield made
    made.close()


def ready(launcher: Launcher) -> Process:
    """The one in reserve, once it has loaded the program."""
    process = launcher._reserve
    assert process
    until(lambda: processes.title(process.pid) == "pgherd controller: in reserve", 10, "it stands by")
    return process


def ended(process: Process) -> int:
    assert process.stdin
    process.stdin.close()
    return process.wait(10)


def test_the_one_in_reserve_becomes_the_controller_of_the_sync_that_it_is_told(
    launcher: Launcher, capfd: pytest.CaptureFixture[str]
) -> None:
    launcher.tend(True, 0)
    reserve = ready(launcher)
    given = launcher.launch("a", 1)
    assert given is reserve
    assert given.wait(10) == ConfigError.exit_code
    assert "none.toml" in capfd.readouterr().err
    ended(given)


def test_it_is_succeeded_when_the_started_one_has_had_its_time(launcher: Launcher) -> None:
    launcher.tend(True, 0)
    ended(launcher.launch("a", 1))
    launcher.tend(True, 1)
    assert launcher._reserve is None
    assert launcher.rest(True, 2) == rules.REST - 1
    launcher.tend(True, 1 + rules.REST)
    assert launcher._reserve


def test_there_is_none_where_no_sync_may_come_back(launcher: Launcher) -> None:
    launcher.tend(False, 0)
    assert launcher._reserve is None
    launcher.tend(True, 1)
    process = launcher._reserve
    launcher.tend(False, 2)
    assert launcher._reserve is None
    assert process and process.returncode is not None


def test_where_it_has_died_a_controller_is_started_as_ever(launcher: Launcher) -> None:
    launcher.tend(True, 0)
    reserve = ready(launcher)
    reserve.kill()
    reserve.wait(5)
    given = launcher.launch("a", 1)
    assert given is not reserve
    assert given.wait(10) == ConfigError.exit_code
    ended(given)


def test_it_ends_with_the_master(launcher: Launcher) -> None:
    launcher.tend(True, 0)
    reserve = ready(launcher)
    assert ended(reserve) == 3
    launcher.tend(True, 1)
    assert launcher._reserve is None, "not at once: it may have a defect"

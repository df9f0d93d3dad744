"""Finding the daemon by its pid file, whatever an earlier one has left there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.errors import ConfigError, ReplicatorError
from replicator.pidfile import PidFile, alive
from tests.fixtures.wait import until

HOLD = """
import sys, pathlib
from replicator.pidfile import PidFile
print(PidFile(pathlib.Path(sys.argv[1])).take(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pidfile(tmp_path: Path) -> PidFile:
    return PidFile(tmp_path / "run" / "replicator.pid")


@pytest.fixture
def other(pidfile: PidFile) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the file."""
    command = [sys.executable, "-c", HOLD, str(pidfile.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_nobody_holds_a_file_that_is_not_there(pidfile: PidFile) -> None:
    assert pidfile.holder() is None


def test_the_holder_is_found_and_excludes_others(pidfile: PidFile, other: subprocess.Popen[str]) -> None:
    assert pidfile.holder() == other.pid
    assert pidfile.take() is False
    assert pidfile.holder() == other.pid


def test_a_killed_holder_holds_nothing_and_can_be_succeeded(pidfile: PidFile, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    assert pidfile.path.read_text().startswith(f"{other.pid} ")
    assert pidfile.holder() is None
    assert pidfile.take() is True
    assert pidfile.path.read_text().startswith(f"{os.getpid()} ")


def test_a_reused_number_is_not_taken_for_the_holder(pidfile: PidFile, other: subprocess.Popen[str]) -> None:
    pidfile.path.write_text(f"{os.getpid()} 12345\n")
    with pytest.raises(ReplicatorError, match="cannot be seen"):
        pidfile.holder()


def test_a_zombie_holds_nothing(pidfile: PidFile, other: subprocess.Popen[str]) -> None:
    other.kill()
    assert alive(os.getpid())
    until(lambda: not alive(other.pid), 5, "it has ended, although nobody has reaped it")
    assert pidfile.holder() is None
    assert other.returncode is None


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigError, match=r"run/replicator\.pid: .*Correct run_dir"):
        PidFile(tmp_path / "run" / "replicator.pid").take()

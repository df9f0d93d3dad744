"""How a failpoint is armed, what it does, and that a wrong name is found out when a process starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator import failpoint
from replicator.errors import ConfigError, ConnectionLost
from replicator.failpoint import NAMES, VARIABLE, parse
from tests.fixtures.cli import Program
from tests.fixtures.wait import until


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoint.arm({})


def test_nothing_happens_unless_armed() -> None:
    failpoint.arm({})
    failpoint.failpoint("commit.before")


def test_names_are_many_and_each_is_in_the_engine_once() -> None:
    code = "".join(path.read_text() for path in Path("replicator").rglob("*.py"))
    assert len(NAMES) > 50
    assert not [name for name in NAMES if code.count(f'    failpoint("{name}")') != 1]


def test_the_time_that_is_asked_for_loses_the_connection_once() -> None:
    failpoint.arm({VARIABLE: "commit.before:2:lose"})
    failpoint.failpoint("commit.before")
    failpoint.failpoint("commit.after")
    with pytest.raises(ConnectionLost, match=r"failpoint commit\.before"):
        failpoint.failpoint("commit.before")
    failpoint.failpoint("commit.before")


def test_it_waits_for_a_file(tmp_path: Path) -> None:
    file = tmp_path / "go:on"
    failpoint.arm({VARIABLE: f"commit.before:wait={file}"})
    waiter = threading.Thread(target=failpoint.failpoint, args=("commit.before",))
    waiter.start()
    until((tmp_path / "go:on.reached").exists, 5, "it is there")
    assert waiter.is_alive()
    file.touch()
    waiter.join(5)
    assert not waiter.is_alive()


@pytest.mark.parametrize("text", ["commit.befor", "commit.before:0", "commit.before:explode", "commit.before:2:wait="])
def test_what_cannot_be_armed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=VARIABLE):
        parse(text)


@pytest.mark.parametrize("word", ["status", "start"])
def test_a_wrong_name_ends_a_command_at_once(word: str, program: Program) -> None:
    program.env[VARIABLE] = "commit.befor"
    done = program("replicator", word).exits(2)
    assert "there is no failpoint 'commit.befor'" in done.err

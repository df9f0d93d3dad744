"""The form of the log, its rotation by one process of several, and reading it back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator import logs
from replicator.errors import ConfigError


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leave no handler to other tests."""
    yield
    for handler in list(logs.log.handlers):
        logs.log.removeHandler(handler)
        handler.close()
    logs.log.propagate = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "replicator.log"


def test_a_line_has_time_level_process_and_message(path: Path) -> None:
    logs.set_up(path, "alpha", master=False, echo=False)
    logs.log.warning("%s went", "something")
    (line,) = path.read_text().splitlines()
    head = logs.HEAD.match(line)
    assert head and head["process"] == "alpha" and head["message"] == "something went"
    assert " WARNING alpha: " in line


def test_a_traceback_is_indented(path: Path) -> None:
    logs.set_up(path, "alpha", master=False, echo=False)
    try:
        raise ValueError("what")
    except ValueError:
        logs.log.exception("a defect")
    first, *rest = path.read_text().splitlines()
    assert first.endswith("a defect")
    assert rest and all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize(
    ("text", "blanked"),
    [
        ("password=geheim port=1", "password=*** port=1"),
        ("PASSWORD = 'ge heim' x", "PASSWORD = *** x"),
        ("at postgresql://bob:geheim@host/db", "at postgresql://bob:***@host/db"),
        ("12:30:05 bob@host", "12:30:05 bob@host"),
    ],
)
def test_passwords_are_blanked(text: str, blanked: str) -> None:
    assert logs.blank(text) == blanked


def test_the_master_rotates_what_others_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ROTATE_AT", 1000)
    logs.set_up(path, "master", master=True, echo=False)
    with path.open("a") as other:
        other.write("x" * 2000 + "\n")
    logs.look_after()
    assert path.with_name("replicator.log.1").stat().st_size == 2001
    assert path.stat().st_size == 0


def test_a_file_that_was_moved_away_is_begun_again(path: Path) -> None:
    logs.set_up(path, "master", master=True, echo=False)
    path.rename(path.with_name("elsewhere"))
    logs.look_after()
    logs.log.info("here")
    assert path.read_text().endswith("here\n")


def test_a_child_follows_the_rotation(path: Path) -> None:
    logs.set_up(path, "alpha", master=False, echo=False)
    logs.log.info("one")
    path.rename(path.with_name("replicator.log.1"))
    logs.log.info("two")
    assert path.read_text().endswith("two\n")


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    with pytest.raises(ConfigError, match="Correct log_file"):
        logs.set_up(tmp_path / "log" / "replicator.log", "master", master=True, echo=False)


LOG = """\
2026-01-02 03:04:05.678+00:00 INFO    master: begins
2026-01-02 03:04:05.679+00:00 INFO    alpha: one
2026-01-02 03:04:05.680+00:00 ERROR   beta: a defect
    Traceback
2026-01-02 03:04:05.681+00:00 WARNING master: the controller of sync "alpha" ended
"""


def test_the_lines_of_one_sync() -> None:
    assert [line[-10:] for line in logs.select(LOG.splitlines(), "alpha")] == ["alpha: one", 'pha" ended']
    assert len(list(logs.select(LOG.splitlines(), "beta"))) == 2
    assert list(logs.select(LOG.splitlines(keepends=True))) == LOG.splitlines()


def test_the_tail_reaches_into_rotated_files_as_far_as_needed(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("5\n6\n")
    path.with_name("x.log.1").write_text("3\n4\n")
    path.with_name("x.log.2").write_text("1\n2\n")
    assert logs.tail(path, 1) == ["6"]
    assert logs.tail(path, 3) == ["4", "5", "6"]
    assert logs.tail(path, 99) == ["1", "2", "3", "4", "5", "6"]
    assert logs.tail(path, 0) == []


def test_following_goes_over_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n")
    lines = logs.follow(path, every=0.01)
    got: list[str] = []
    three = threading.Thread(target=lambda: got.extend(itertools.islice(lines, 3)), daemon=True)
    with path.open("a") as file:
        file.write("one\ntw")
        three.start()
        file.write("o\n")
    path.rename(path.with_name("x.log.1"))
    path.write_text("three\n")
    three.join(5)
    assert got == ["one\n", "two\n", "three\n"]
    lines.close()  # type: ignore[attr-defined]


def test_following_reads_an_old_file_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.log"
    path.write_text("")
    lines = logs.follow(path, every=0.01)
    replaced = logs._replaced

    def late(followed: Path, fd: int) -> bool:
        """What may happen between reading to the end and this question."""
        monkeypatch.setattr(logs, "_replaced", replaced)
        with path.open("a") as file:
            file.write("last but one\nlast\n")
        path.rename(path.with_name("x.log.1"))
        path.write_text("first\n")
        return replaced(followed, fd)

    monkeypatch.setattr(logs, "_replaced", late)
    assert list(itertools.islice(lines, 3)) == ["last but one\n", "last\n", "first\n"]
    lines.close()  # type: ignore[attr-defined]

"""Steps of a plan carried out in a real shell: in order, each told of, those that have to be prepared among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.change import Change, Note
from provision.errors import HostFailed
from provision.resources.steps import StepEvent, carry_out
from provision.transport import Local


def script(number: int, folder: Path, more: str = "") -> Change:
    return Change(summary=f"step {number}", script=f"echo {number} >>{folder}/done; echo at {number}\n{more}")


def prepared(number: int, folder: Path, more: str = "") -> Change:
    def prepare(note: Note) -> str:
        note("preparing")
        done = (folder / "done").read_text().split() if (folder / "done").exists() else []
        assert done == [str(one) for one in range(number)], "its turn has come"
        return script(number, folder, more).script

    return Change(summary=f"step {number}", prepare=prepare)


def test_prepared_steps_have_their_turn_and_are_told_of_like_others(tmp_path: Path) -> None:
    changes = [
        script(0, tmp_path),
        script(1, tmp_path),
        prepared(2, tmp_path),
        prepared(3, tmp_path),
        script(4, tmp_path),
    ]
    events: list[StepEvent] = []
    carry_out(Local(), changes, events.append)
    assert (tmp_path / "done").read_text().split() == ["0", "1", "2", "3", "4"]
    assert [event.number for event in events if event.kind == "begins"] == [0, 1, 2, 3, 4]
    assert [event.number for event in events if event.kind == "ends"] == [0, 1, 2, 3, 4]
    said = [(event.number, event.text) for event in events if event.kind == "says"]
    assert said == [(0, "at 0"), (1, "at 1"), (2, "preparing"), (2, "at 2"), (3, "preparing"), (3, "at 3"), (4, "at 4")]


@pytest.mark.parametrize("number", range(3))
def test_the_step_that_fails_is_named_and_nothing_comes_after_it(number: int, tmp_path: Path) -> None:
    fails = "echo it hurts >&2; exit 3\n"
    kinds = (script, prepared, script)
    changes = [kind(at, tmp_path, fails if at == number else "") for at, kind in enumerate(kinds)]
    with pytest.raises(HostFailed, match=rf"^step {number}: at {number} it hurts$"):
        carry_out(Local(), changes, lambda _: None)
    assert len((tmp_path / "done").read_text().split()) == number + 1


def test_what_cannot_be_prepared_is_named(tmp_path: Path) -> None:
    def prepare(_: Note) -> str:
        raise HostFailed("there is nothing to send.", hint="Make it.")

    with pytest.raises(HostFailed, match=r"^big step: there is nothing to send\. Make it\.$"):
        carry_out(Local(), [Change(summary="big step", prepare=prepare)], lambda _: None)

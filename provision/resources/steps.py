"""Carries changes out: many in one script, numbered, stopping at the first that fails.

Used by `apply` and by the tasks when Fabric runs them. What a step prints is shown while it runs and kept for the
sentence that says why it failed.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from provision.change import Change, Note
from provision.errors import HostFailed
from provision.facts.gathering import PRELUDE
from provision.facts.trouble import explained
from provision.transport import Transport, as_account

KEPT_LINES = 200
TOLD_LINES = 15
"""How many of its last lines are kept of a step that fails, and how many of them are told."""

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class StepEvent:
    """What happens to a step: it begins, says something, ends, fails. number: of the change, from 0; seconds: it took.

    text: what it says; of one that has failed, all that it said last.
    """

    number: int
    kind: str
    text: str = ""
    seconds: float = 0.0


Watch = Callable[[StepEvent], None]


def carry_out(transport: Transport, changes: Sequence[Change], watch: Watch, *, timeout: float | None = None) -> None:
    """Run the scripts of changes on a host, in one round trip unless some have to be prepared.

    Raises HostFailed naming the step, Unreachable.
    """
    begin = 0
    for number, change in enumerate(changes):
        if change.prepare:
            _run(transport, changes, range(begin, number), watch, timeout)
            _run_prepared(transport, changes, number, watch, timeout)
            begin = number + 1
    _run(transport, changes, range(begin, len(changes)), watch, timeout)


def _run(transport: Transport, changes: Sequence[Change], numbers: range, watch: Watch, timeout: float | None) -> None:
    if not numbers:
        return
    mark = f"@{secrets.token_hex(8)}"
    script = PRELUDE + "".join(_step(number, changes[number], mark) for number in numbers)
    follower = _Follower(mark, watch, numbers[0])
    result = transport.run(script, timeout=timeout, on_line=follower.line)
    if result.rc:
        raise HostFailed(follower.failure(changes, result.err))


def _run_prepared(
    transport: Transport, changes: Sequence[Change], number: int, watch: Watch, timeout: float | None
) -> None:
    """Run a step whose script is made now, telling how far it has been sent."""
    change = changes[number]
    assert change.prepare
    began = time.monotonic()
    watch(StepEvent(number, "begins"))

    def note(text: str) -> None:
        watch(StepEvent(number, "says", text))

    try:
        script = change.prepare(note)
    except HostFailed as error:
        raise HostFailed(f"{change.summary}: {error.args[0]}", hint=error.hint) from error
    lines: deque[str] = deque(maxlen=KEPT_LINES)

    def line(text: str) -> None:
        lines.append(text)
        note(text)

    sent = _Sent(note)
    result = transport.run(f"{PRELUDE}(\n{script.rstrip()}\n) 2>&1\n", timeout=timeout, on_line=line, on_sent=sent)
    if result.rc:
        raise HostFailed(f"{change.summary}: {explained(chr(10).join(lines) or result.err or 'it gave no reason')}")
    watch(StepEvent(number, "ends", seconds=time.monotonic() - began))


class _Sent:
    """Tells how much of a large script has been sent, each megabyte once."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._shown = 0

    def __call__(self, sent: int, of: int) -> None:
        if sent // MEGABYTE > self._shown:
            self._shown = sent // MEGABYTE
            self._note(f"sent {self._shown} of {of // MEGABYTE} MB")


def _step(number: int, change: Change, mark: str) -> str:
    script = as_account(change.as_user, change.script) if change.as_user else change.script
    return (
        f"step_{number}() (\n{script.rstrip()}\n)\n"
        f"printf '%s\\n' '{mark} begin {number}'\n"
        f"step_{number} 2>&1; c=$?\n"
        f"printf '\\n%s %s\\n' '{mark} end {number}' \"$c\"\n"
        '[ "$c" = 0 ] || exit 1\n'
    )


class _Follower:
    """Turns the lines of the script into events."""

    def __init__(self, mark: str, watch: Watch, first: int) -> None:
        self._mark = mark
        self._watch = watch
        self._number = first
        self._began = 0.0
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    def line(self, line: str) -> None:
        if not line.startswith(self._mark + " "):
            self._lines.append(line)
            self._watch(StepEvent(self._number, "says", line))
            return
        _, word, number, *rest = line.split(" ")
        if word == "begin":
            self._number, self._began = int(number), time.monotonic()
            self._lines.clear()
            self._watch(StepEvent(self._number, "begins"))
        else:
            kind = "ends" if rest == ["0"] else "fails"
            text = "" if kind == "ends" else "\n".join(self._lines)
            self._watch(StepEvent(self._number, kind, text, time.monotonic() - self._began))

    def failure(self, changes: Sequence[Change], err: str) -> str:
        said = "\n".join(list(self._lines)[-TOLD_LINES:]).strip() or err.strip() or "it gave no reason"
        return f"{changes[self._number].summary}: {explained(said)}"

"""A file for each run: every event with its time, and all that a failed step said. Secrets are masked in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from provision.apply.events import (
    Event,
    Looking,
    PlaceEnded,
    Planned,
    Proved,
    StepBegan,
    StepEnded,
    StepFailed,
    StepSaid,
)
from provision.apply.places import reason

KEPT = 30
FOLDER = "logs"


class LogFile:
    """See the module. Mode 0600; the last 30 of an inventory are kept."""

    def __init__(self, state_dir: Path, command: str, mask: Callable[[str], str]) -> None:
        folder = state_dir / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = _free(folder, command)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._out: TextIO = os.fdopen(descriptor, "w", encoding="utf-8")
        self._mask = mask
        _prune(folder)

    def write(self, event: Event) -> None:
        """Write what has happened."""
        if isinstance(event, Looking):
            self._line(event.place, "", "looks")
        elif isinstance(event, Planned):
            self._planned(event)
        elif isinstance(event, StepBegan):
            self._line(event.place, event.task, f"begins {event.number} of {event.of}: {event.summary}")
        elif isinstance(event, StepEnded):
            self._line(event.place, event.task, f"did in {event.seconds:.2f} s: {event.summary}", "\n".join(event.diff))
        elif isinstance(event, StepFailed):
            self._line(event.place, event.task, f"FAILED after {event.seconds:.2f} s: {event.summary}", event.output)
        elif isinstance(event, PlaceEnded):
            self._ended(event)
        elif isinstance(event, Proved):
            for table in event.proof.tables:
                self._line("proof", table.sync, f"{table.table}: {table.verdict} {table.note}".rstrip())
        elif isinstance(event, StepSaid) and event.place not in self._hosts:
            self._line(event.place, "", event.text)

    _hosts: frozenset[str] = frozenset()

    def quiet(self, hosts: frozenset[str]) -> None:
        """Name the places whose steps talk too much to be written down while all goes well: programs of hosts."""
        self._hosts = hosts

    def note(self, text: str) -> None:
        """Write a line of its own."""
        self._line("", "", text)

    def close(self) -> None:
        """Nothing follows."""
        self._out.close()

    def _planned(self, event: Planned) -> None:
        plan = event.plan
        self._line(plan.place, "", f"plan: {len(plan.steps)} steps{f'; {event.bare}' if event.bare else ''}")
        for obstacle in plan.waiting:
            self._line(plan.place, obstacle.task, f"waits: {reason(obstacle)}")
        if plan.failure:
            self._line(plan.place, plan.failure.task, f"cannot: {reason(plan.failure)}")

    def _ended(self, event: PlaceEnded) -> None:
        for result in event.results:
            text = f"{result.outcome}, {result.changes} changes, {result.seconds:.2f} s"
            self._line(result.place, result.task, f"{text}: {result.message}" if result.message else text)
        self._line(event.place, "", f"ended with {event.code} after {event.seconds:.2f} s")

    def _line(self, place: str, task: str, text: str, more: str = "") -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        where = f"{place}: {task}:" if task and task != place else f"{place}:" if place else "run:"
        lines = [f"{now} {where} {text}", *(f"    {line}" for line in more.splitlines())]
        self._out.write(self._mask("\n".join(lines)) + "\n")
        self._out.flush()


def _free(folder: Path, command: str) -> Path:
    """A name that no other run has taken in this second."""
    while True:
        path = folder / f"{time.strftime('%Y%m%dT%H%M%S')}-{command}.log"
        if not path.exists():
            return path
        time.sleep(0.1)


def _prune(folder: Path) -> None:
    for path in sorted(folder.glob("*.log"))[:-KEPT]:
        path.unlink(missing_ok=True)

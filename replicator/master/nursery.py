"""The master's children: started, started again when they die, sent away when they are not wanted.

Who is wanted is told at each step, and so is the time; nothing here waits.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from replicator.logs import log

GRACE = 6.0
"""How long a controller may take to stop. Killing it is safe: each batch is one transaction."""

FIRST_RESTART, LAST_RESTART, LONG_LIFE = 0.25, 30.0, 10.0
"""Back-off of a controller that dies again and again; one that has lived long is restarted at once."""

HEARD_BY_THEN = 1.0
"""A controller that leaves by itself has heard that it is not wanted; so will the master within this time."""


@dataclass
class Child:
    """A controller, or the memory of one that died. Times are monotonic; failures: deaths soon after their start."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    failures: int = 0
    leave_by: float | None = None

    def died(self, now: float) -> float:
        """It has died: seconds until it is started again."""
        lived = now - self.started
        self.process = None
        self.failures = 0 if lived >= LONG_LIFE else self.failures + 1
        delay = min(LAST_RESTART, FIRST_RESTART * 2.0 ** (self.failures - 1)) if self.failures else 0.0
        self.due = now + delay
        return delay


@dataclass
class Nursery:
    """The controllers. `launch` starts the one of a sync at a time."""

    launch: Callable[[str, float], subprocess.Popen[bytes]]
    children: dict[str, Child] = field(default_factory=dict)

    def tend(self, names: Collection[str], now: float) -> None:
        """Bring the children a step nearer to being exactly those of `names`. Does not wait."""
        self._reap(names, now)
        for name in names:
            child = self.children.setdefault(name, Child())
            if child.process is None and now >= child.due:
                self._start(name, child, now)
        for name, child in self._unwanted(names):
            self._send_away(name, child, now)

    def _start(self, name: str, child: Child, now: float) -> None:
        child.started = now
        try:
            child.process = self.launch(name, now)
        except OSError as error:
            log.error(
                'the controller of sync "%s" cannot be started (%s); again in %.1f s', name, error, child.died(now)
            )

    def rest(self, names: Collection[str], now: float) -> float:
        """Seconds until there is something to do, unless a child ends or others are wanted."""
        due = [child.due for name, child in self.children.items() if child.process is None and name in names]
        due += [child.leave_by for child in self.children.values() if child.process and child.leave_by is not None]
        return max(0.0, min(due, default=math.inf) - now)

    def running(self) -> list[str]:
        """The syncs whose controller runs."""
        return [name for name, child in self.children.items() if child.process]

    def pids(self) -> dict[str, int]:
        """The process ids of the controllers that run, by their syncs."""
        return {name: child.process.pid for name, child in self.children.items() if child.process}

    def _unwanted(self, names: Collection[str]) -> Iterator[tuple[str, Child]]:
        for name, child in list(self.children.items()):
            if child.process is None and name not in names:
                del self.children[name]
            elif child.process and (name not in names or child.leave_by is not None):
                yield name, child

    def _reap(self, names: Collection[str], now: float) -> None:
        for name, child in self.children.items():
            code = child.process.poll() if child.process else None
            if child.process is None or code is None:
                continue
            _close_input(child.process)
            if child.leave_by is not None:
                child.process, child.leave_by, child.due = None, None, now
                continue
            if code == 0:  # it has left because its sync is paused or gone, which we shall hear of too
                child.process, child.due = None, now + HEARD_BY_THEN
                continue
            delay = child.died(now)
            if name in names:
                log.warning('the controller of sync "%s" ended (%s); starts again in %.1f s', name, ending(code), delay)

    @staticmethod
    def _send_away(name: str, child: Child, now: float) -> None:
        assert child.process
        if child.leave_by is None:
            child.leave_by = now + GRACE
            child.process.terminate()
        elif now > child.leave_by:
            log.warning('the controller of sync "%s" did not stop by itself and is killed', name)
            child.process.kill()


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()


def ending(code: int) -> str:
    """A process's exit code in words."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"

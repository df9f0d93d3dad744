"""Starts controllers, and keeps one in reserve while a sync is paused: a process that has loaded the program, no more.

A paused sync has no process, and what has gathered meanwhile waits until its controller has loaded: a third of a second
and more. One in reserve is a controller as any other, and this process's child, which has yet to be told its sync.
When to start which, and what becomes of them, is `nursery`'s.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys

from replicator.config import Config
from replicator.logs import log

Process = subprocess.Popen[bytes]

REST = 5.0
"""Seconds after a start until one is put in reserve: who was started is to have the processor meanwhile."""


class Launcher:
    """Starts the controller of a sync, as a child whose standard input tells it that this process lives.

    Belongs to the main thread: a child ends with the thread that started it.
    """

    def __init__(self, settings: Config, *, echo: bool) -> None:
        self._settings, self._echo = settings, echo
        self._reserve: Process | None = None
        self._due = -math.inf

    def launch(self, name: str, now: float) -> Process:
        """The controller of a sync: the one in reserve, if there is one, else a new one. Raises OSError."""
        self._due = now + REST
        reserve, self._reserve = self._reserve, None
        if reserve:
            with contextlib.suppress(OSError):  # it has died
                assert reserve.stdin
                os.write(reserve.stdin.fileno(), name.encode() + b"\0")
                return reserve
            _end(reserve)
        return self._start("--sync", name)

    def tend(self, wanted: bool, now: float) -> None:
        """Have one in reserve, or none. Does not wait for it."""
        if self._reserve and (not wanted or self._reserve.poll() is not None):
            self.close()
            self._due = max(self._due, now + REST)
        if wanted and not self._reserve and now >= self._due:
            self._due = now + REST
            try:
                self._reserve = self._start()
            except OSError as error:
                log.warning("no controller can be started in reserve: %s", error)

    def rest(self, wanted: bool, now: float) -> float:
        """Seconds until `tend` has something to do, unless a child ends."""
        return max(0.0, self._due - now) if wanted and not self._reserve else math.inf

    def close(self) -> None:
        """End the one in reserve, which has done nothing yet."""
        reserve, self._reserve = self._reserve, None
        if reserve:
            _end(reserve)

    def _start(self, *args: str) -> Process:
        command = [sys.executable, "-P", "-m", "replicator.controller", "--config", str(self._settings.path)]
        command += ["--parent", str(os.getpid()), *(["--echo"] if self._echo else []), *args]
        return subprocess.Popen(command, stdin=subprocess.PIPE)


def _end(process: Process) -> None:
    process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()

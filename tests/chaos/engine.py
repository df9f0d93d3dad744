"""The replicator's processes as the daemon has them, a controller for each sync and the purge, to be killed at will.

Each is forked from a process that has everything imported, so that one more start costs next to nothing. The code that
runs in them is the daemon's own; only the master, which starts again what dies, is the test here.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from replicator import config, controller, failpoint, logs
from replicator.postgres import Connector
from replicator.purge import Purger
from replicator.signals import Stop
from replicator.syncrun import LinkRunner

PURGE = "purge"
"""The name of the process that is no sync's."""

PURGE_EVERY = 0.2


def _be(settings_file: Path, role: str, armed: str, bug: str) -> None:
    """What a process does. bug: a function of `tests.chaos.bugs` that breaks this process's engine first."""
    threading.Thread(target=_leave_with_parent, name="lifeline", daemon=True).start()
    failpoint.arm({failpoint.VARIABLE: armed})
    if bug:
        getattr(importlib.import_module("tests.chaos.bugs"), bug)()
    settings = config.load(settings_file)
    logs.set_up(settings.log_file, role, master=False, echo=False)
    connector, stop = Connector(settings), Stop()
    if role == PURGE:
        purger = Purger(connector, stop)
        while not stop.wait(PURGE_EVERY):
            purger.once()
    else:
        sys.exit(controller.run(connector, role, stop, LinkRunner))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)


class Engine:
    """The running processes, by role: a sync's name, or `PURGE`. bug: how those are broken that start from now on."""

    def __init__(self, settings_file: Path, bug: str = "") -> None:
        self._settings_file, self.bug = settings_file, bug
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["replicator.controller", "replicator.purge", "replicator.syncrun"])
        self.processes: dict[str, ForkServerProcess] = {}

    def start(self, role: str, armed: str = "") -> ForkServerProcess:
        """Start one. armed: the value of PGHERD_FAILPOINT."""
        process = self._context.Process(target=_be, args=(self._settings_file, role, armed, self.bug), daemon=True)
        process.start()
        self.processes[role] = process
        return process

    def kill(self, role: str) -> None:
        """Kill one, whatever it does."""
        process = self.processes.pop(role, None)
        if process:
            process.kill()
            process.join()

    def broken(self) -> list[str]:
        """What ended by itself, other than by a failpoint."""
        codes = {role: process.exitcode for role, process in self.processes.items()}
        return [f"{role} ended with {code}" for role, code in codes.items() if code not in (None, -signal.SIGKILL)]

    def close(self) -> None:
        """Kill them all."""
        for role in list(self.processes):
            self.kill(role)

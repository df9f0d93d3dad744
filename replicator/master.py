"""The daemon's first process: keeps one controller process running for each sync that is declared and not paused.

One thread watches the catalog (and holds the lock that makes this master the only one of its install), one purges the
change logs, the main thread minds the children. None waits for another: while the catalog is away, controllers go on
and dead ones are restarted. Starting and stopping the daemon from outside is `daemon`'s part.
Run as `python -m replicator.master --config FILE --ready-fd N`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from setproctitle import setproctitle

from replicator import config, lifeline, logs
from replicator.catalog import Catalog
from replicator.config import Config
from replicator.errors import AlreadyRunning, ReplicatorError
from replicator.logs import log
from replicator.model import Topology
from replicator.pidfile import PidFile
from replicator.postgres import Connector
from replicator.purge import keep_purging
from replicator.reconnect import keep_connected
from replicator.signals import Stop, install_handlers

GLANCE = 0.1
"""How often the children are looked at."""

POLL = 1.0
"""How often the catalog is asked for what a notification may have failed to tell."""

FIRST_LOCK, LOCK_AGAIN = 10.0, 5.0
"""How long to wait for the lock at the start (a killed predecessor's connection may linger) and after an outage."""

GRACE = 6.0
"""How long a controller may take to stop. Killing it is safe: each batch is one transaction."""

FIRST_RESTART, LAST_RESTART, LONG_LIFE = 0.25, 30.0, 10.0
"""Back-off of a controller that dies again and again; one that has lived long is restarted at once."""


class Watch:
    """The catalog thread. wanted: the syncs that are to run, None before it is known. held: whether we are the master.

    When the lock is lost to another master, or cannot be had at the start, it requests the stop.
    """

    def __init__(self, connector: Connector, stop: Stop) -> None:
        self.wanted: tuple[str, ...] | None = None
        self.held = threading.Event()
        self._connector = connector
        self._stop = stop
        self._revision = -1
        self._thread = threading.Thread(target=self._main, name="watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float) -> bool:
        """Wait until the thread has ended (the stop being requested). False: it has not, in that time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            keep_connected(self._connector, "master", self._serve, self._stop)
        except BaseException as error:  # whatever it is, the main thread must end too
            log.error("the catalog thread: a defect", exc_info=error)
            self._stop.set(f"a defect: {error}")

    def _serve(self, catalog: Catalog) -> None:
        if not self._hold_lock(catalog):
            return
        self.held.set()
        while not self._stop.is_set():
            if (revision := catalog.revision()) != self._revision:
                self.wanted = wanted(catalog.topology())
                self._revision = revision
            catalog.wait(POLL)

    def _hold_lock(self, catalog: Catalog) -> bool:
        deadline = time.monotonic() + (LOCK_AGAIN if self.held.is_set() else FIRST_LOCK)
        while not catalog.try_lock("master"):
            if time.monotonic() > deadline:
                self._stop.set("another master runs this install: it holds the lock in the catalog")
            if self._stop.wait(0.1):
                return False
        return True


def wanted(topology: Topology) -> tuple[str, ...]:
    """The syncs that are to have a controller."""
    return tuple(sorted(sync.name for sync in topology.syncs.values() if not sync.paused))


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
    """The controllers. `launch` starts the one of a sync."""

    launch: Callable[[str], subprocess.Popen[bytes]]
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
            child.process = self.launch(name)
        except OSError as error:
            log.error(
                'the controller of sync "%s" cannot be started (%s); again in %.1f s', name, error, child.died(now)
            )

    def running(self) -> list[str]:
        """The syncs whose controller runs."""
        return [name for name, child in self.children.items() if child.process]

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
                child.process, child.due = None, now + POLL
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


def launcher(settings: Config, echo: bool) -> Callable[[str], subprocess.Popen[bytes]]:
    """What starts the controller of a sync, as a child whose standard input tells it that this process lives."""

    def launch(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "replicator.controller", "--config", str(settings.path)]
        command += ["--sync", name, "--parent", str(os.getpid()), *(["--echo"] if echo else [])]
        return subprocess.Popen(command, stdin=subprocess.PIPE)

    return launch


def title(settings: Config, names: Collection[str]) -> str:
    """What `ps` shows of a master."""
    return f'pgherd master: install "{settings.install.name}", syncs: {", ".join(names) or "none"}'


def run(settings: Config, *, echo: bool, ready: Callable[[], None] = lambda: None) -> int:
    """Be the master until a stop is requested; `ready` is called once controllers may be started.

    Raises AlreadyRunning, ConfigError, Unreachable and what else keeps a daemon from starting. Returns the exit code.
    """
    stop = Stop()
    install_handlers(stop)
    pidfile = PidFile.of(settings)
    if not pidfile.take():
        raise AlreadyRunning(f"the daemon is already running (pid {pidfile.holder()}).")
    logs.set_up(settings.log_file, "master", master=True, echo=echo)
    connector = Connector(settings)
    Catalog.open(connector, "start").close()
    watch = Watch(connector, stop)
    nursery = Nursery(launcher(settings, echo))
    watch.start()
    while not watch.held.wait(0.05) and not stop.is_set():
        pass
    if stop.is_set():
        raise AlreadyRunning(f"the daemon was not started: {stop.reason}.")
    log.info('begins: install "%s", pid %d', settings.install.name, os.getpid())
    ready()
    purge = threading.Thread(target=keep_purging, args=(connector, stop), name="purge", daemon=True)
    purge.start()
    _mind(settings, watch, nursery, stop)
    purge.join(1.0)
    log.info("ends: %s", stop.reason)
    return 0


def _mind(settings: Config, watch: Watch, nursery: Nursery, stop: Stop) -> None:
    """Keep the children as declared until the stop is requested; then send them away, and wait until they are gone."""
    shown: tuple[str, ...] | None = None
    setproctitle(title(settings, ()))
    while not stop.wait(GLANCE):
        names = watch.wanted or ()
        nursery.tend(names, time.monotonic())
        if names != shown:
            setproctitle(title(settings, names))
            log.info("syncs: %s", ", ".join(names) or "none")
            shown = names
        logs.look_after()
    while nursery.running():
        nursery.tend((), time.monotonic())
        time.sleep(0.02)
    watch.join(1.0)


def main() -> int:
    """The background process's entry: see the module's docstring. The outcome goes to the pipe as a line of JSON."""
    parser = argparse.ArgumentParser(prog="replicator.master")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args()
    lifeline.detach()
    try:
        return run(config.load(options.config), echo=False, ready=lambda: lifeline.tell_starter(options.ready_fd))
    except ReplicatorError as error:
        lifeline.tell_starter(options.ready_fd, error)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())

"""The daemon's first process: keeps one controller process running for each sync that is declared and not paused.

One thread watches the catalog, one purges the change logs, the main thread minds the children. None waits for another:
while the catalog is away, controllers go on and dead ones are restarted. Starting and stopping the daemon from outside
is `daemon`'s part.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection

from setproctitle import setproctitle

from replicator import logs
from replicator.catalog import Catalog
from replicator.config import Config
from replicator.errors import AlreadyRunning
from replicator.logs import log
from replicator.master.nursery import Nursery
from replicator.master.watch import Watch
from replicator.pidfile import PidFile
from replicator.postgres import Connector
from replicator.purge import keep_purging
from replicator.signals import Stop, install_handlers

GLANCE = 0.1
"""How often the children are looked at."""


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

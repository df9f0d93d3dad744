"""The daemon's first process: keeps one controller process running for each sync that is declared and not paused.

One thread watches the catalog, one purges the change logs, the main thread minds the children. None waits for another:
while the catalog is away, controllers go on and dead ones are restarted. Starting and stopping the daemon from outside
is `daemon`'s part.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection

from setproctitle import setproctitle

from replicator import bucardo_logs, logs, mail
from replicator.catalog import Catalog
from replicator.config import Config
from replicator.errors import AlreadyRunning
from replicator.habits import Habits
from replicator.logs import log
from replicator.master.customs import Customs
from replicator.master.nursery import Nursery
from replicator.master.post import keep_writing, turn
from replicator.master.watch import Watch
from replicator.pidfile import PidFile
from replicator.postgres import Connector
from replicator.purge import keep_purging
from replicator.signals import Alarm, Stop, install_handlers, wake_at_child_end

LEAST = 0.1
"""Seconds between looks at children that are to be started again or do not leave; nobody rests for less."""


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
    with Catalog.open(connector, "start") as catalog:
        habits = Habits(catalog.bucardo_settings(), settings.run_dir)
        switches = catalog.habits().get(("start", ""), {})
    bucardo_logs.follow(habits, "master", switches)
    customs = Customs(habits)
    customs.check_host()
    attention = Alarm()
    stop.wake(attention)
    wake_at_child_end(attention)
    watch = Watch(connector, stop, attention)
    nursery = Nursery(launcher(settings, echo))
    watch.start()
    while not watch.held.wait(0.05) and not stop.is_set():
        pass
    if stop.is_set():
        raise AlreadyRunning(f"the daemon was not started: {stop.reason}.")
    customs.begin()
    log.info('begins: install "%s", pid %d', settings.install.name, os.getpid())
    ready()
    threading.Thread(
        target=keep_writing, args=(connector, stop, lambda: watch.habits), name="post", daemon=True
    ).start()
    purge = threading.Thread(target=keep_purging, args=(connector, stop), name="purge", daemon=True)
    purge.start()
    try:
        _mind(settings, watch, nursery, customs, stop, attention)
    finally:
        customs.end()
    purge.join(1.0)
    log.info("ends: %s", stop.reason)
    mail.send(watch.habits, *turn("stopped", socket.gethostname(), settings.install.name))
    return 0


def _mind(settings: Config, watch: Watch, nursery: Nursery, customs: Customs, stop: Stop, attention: Alarm) -> None:
    """Keep the children as declared until the stop is requested; then send them away, and wait until they are gone."""
    shown: tuple[str, ...] | None = None
    setproctitle(customs.title(title(settings, ()), ()))
    while not stop.is_set():
        names = watch.wanted or ()
        nursery.tend(names, time.monotonic())
        customs.follow(watch.habits)
        customs.tend(nursery.pids(), watch.targets)
        if customs.called_off():
            stop.set("the stop file is there")
        if names != shown:
            setproctitle(customs.title(title(settings, names), names))
            log.info("syncs: %s", ", ".join(names) or "none")
            shown = names
        logs.look_after()
        due = min(watch.habits.number("mcp_loop_sleep"), nursery.rest(names, time.monotonic()))
        attention.wait(max(LEAST, due))
    while nursery.running():
        nursery.tend((), time.monotonic())
        time.sleep(0.02)
    watch.join(1.0)

"""The daemon's first process: keeps one controller process running for each sync that is declared and not paused.

One thread watches the catalog, one purges the change logs, the main thread minds the children. None waits for another:
while the catalog is away, controllers go on and dead ones are restarted. Starting and stopping the daemon from outside
is `daemon`'s part.
"""

from __future__ import annotations

import os
import socket
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
from replicator.master.launcher import Launcher
from replicator.master.nursery import Nursery
from replicator.master.post import keep_writing, turn
from replicator.master.watch import Watch
from replicator.pidfile import PidFile
from replicator.postgres import Connector
from replicator.purge import keep_purging
from replicator.signals import Alarm, Stop, install_handlers, wake_at_child_end

LEAST = 0.1
"""Seconds between looks at children that are to be started again or do not leave; nobody rests for less."""


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
    launcher = Launcher(settings, echo=echo)
    nursery = Nursery(launcher.launch)
    watch.start()
    while not watch.held.wait(0.05) and not stop.is_set():
        pass
    if stop.is_set():
        raise AlreadyRunning(f"the daemon was not started: {stop.reason}.")
    customs.begin()
    log.info('begins: install "%s", pid %d', settings.install.name, os.getpid())
    setproctitle(customs.title(title(settings, ()), ()))  # before a start says so: whoever looks then finds it
    ready()
    threading.Thread(
        target=keep_writing, args=(connector, stop, lambda: watch.habits), name="post", daemon=True
    ).start()
    purge = threading.Thread(target=keep_purging, args=(connector, stop), name="purge", daemon=True)
    purge.start()
    try:
        _mind(settings, watch, (nursery, launcher), customs, stop, attention)
    finally:
        customs.end()
    purge.join(1.0)
    log.info("ends: %s", stop.reason)
    mail.send(watch.habits, *turn("stopped", socket.gethostname(), settings.install.name))
    return 0


def _mind(
    settings: Config,
    watch: Watch,
    children: tuple[Nursery, Launcher],
    customs: Customs,
    stop: Stop,
    attention: Alarm,
) -> None:
    """Keep the children as declared until the stop is requested; then send them away, and wait until they are gone."""
    nursery, launcher = children
    shown: tuple[str, ...] | None = None
    while not stop.is_set():
        names = watch.wanted or ()
        nursery.tend(names, time.monotonic())
        launcher.tend(watch.paused, time.monotonic())
        customs.follow(watch.habits)
        customs.tend(nursery.pids(), watch.targets)
        if customs.called_off():
            stop.set("the stop file is there")
        if names != shown:
            setproctitle(customs.title(title(settings, names), names))
            log.info("syncs: %s", ", ".join(names) or "none")
            shown = names
        logs.look_after()
        now = time.monotonic()
        due = min(nursery.rest(names, now), launcher.rest(watch.paused, now))
        attention.wait(max(LEAST, min(watch.habits.number("mcp_loop_sleep"), due)))
    launcher.close()
    while nursery.running():
        nursery.tend((), time.monotonic())
        time.sleep(0.02)
    watch.join(1.0)

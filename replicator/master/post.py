"""The master's thread that writes to the operator: a mail for each failure of a link, once however often it repeats."""

from __future__ import annotations

import socket
from collections.abc import Callable

from replicator import mail
from replicator.catalog import Catalog, RunRecord
from replicator.habits import Habits
from replicator.postgres import Connector
from replicator.reconnect import keep_connected
from replicator.signals import Stop

EVERY = 2.0
"""Seconds between looks at the history."""


def keep_writing(connector: Connector, stop: Stop, habits: Callable[[], Habits]) -> None:
    """Write of the start, and until the stop is requested of failures; not of those from before."""
    greeted, last = False, None

    def serve(catalog: Catalog) -> None:
        nonlocal greeted, last
        if not greeted:
            greeted, last = True, catalog.last_run()
            mail.send(habits(), *turn("started", socket.gethostname(), connector.config.install.name))
        while not stop.wait(EVERY):
            last = _write(catalog, habits(), last) if mail.wanted(habits()) else None

    keep_connected(connector, "post", serve, stop)


def _write(catalog: Catalog, habits: Habits, last: int | None) -> int:
    """Write of the failures since the run `last` (None: of none yet); the last one that was looked at."""
    if last is None:
        return catalog.last_run()
    for run in catalog.failures(last):
        last = run.id
        mail.send(habits, *failure(run, socket.gethostname()))
    return last


def failure(run: RunRecord, host: str) -> tuple[str, str]:
    """Subject and text of the mail on a run that failed. Pure."""
    began = run.started_at.isoformat(sep=" ", timespec="seconds")
    text = f"Host: {host}\nSync: {run.sync}\nFrom: {run.source}\nTo: {run.target}\nBegan: {began}\n\n{run.error}"
    return f'Bucardo sync "{run.sync}" failed on {host}', text


def turn(what: str, host: str, install: str) -> tuple[str, str]:
    """Subject and text of the mail on a start or stop. Pure."""
    return f"Bucardo {what} on {host}", f"Host: {host}\nInstall: {install}\n\nThe daemon has {what}."

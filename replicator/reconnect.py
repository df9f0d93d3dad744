"""Keeps one thread of the daemon connected to the catalog, through outages of any length.

What is done with the connection, and what the process does meanwhile, is up to `master` and `controller`.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable

import psycopg

from replicator.catalog import Catalog
from replicator.errors import ReplicatorError
from replicator.logs import log
from replicator.postgres import Connector
from replicator.signals import Stop

FIRST, LAST = 0.1, 1.0
"""Seconds between attempts. The last one is short: `status` is to tell the truth soon after the catalog is back."""


def keep_connected(connector: Connector, purpose: str, serve: Callable[[Catalog], None], finish: Stop) -> None:
    """Call `serve` with an open catalog, and again with another whenever the connection breaks, until `finish`.

    `serve` returns when `finish` is set, and lets a ReplicatorError of the catalog's through.
    """
    name = f"{purpose} {secrets.token_hex(4)}"
    trouble, delay = "", FIRST
    while not finish.is_set():
        try:
            if trouble:
                _end_ghosts(connector, name)
            with Catalog.open(connector, name) as catalog:
                if trouble:
                    log.info("the catalog is back")
                trouble, delay = "", FIRST
                serve(catalog)
        except ReplicatorError as error:
            if str(error) != trouble:
                log.warning("%s (the links go on without the catalog)", error)
            trouble = str(error)
            finish.wait(delay * (0.5 + 0.5 * random.random()))
            delay = min(LAST, delay * 2)


def _end_ghosts(connector: Connector, name: str) -> None:
    """End our former connections: after a broken network the server may keep one, and its locks, for hours."""
    try:
        with connector.open_catalog("reconnect", autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid <> pg_backend_pid() and usename = current_user and application_name like %s",
                [f"% {name}"],
            )
    except psycopg.Error as error:
        log.info("former connections to the catalog could not be ended: %s", error)

"""The servers of a run, two of one version with durable settings, and databases on them cloned from filled templates.

A server's settings are those that a machine of its own would get, not those of the tests: fsync is on, checkpoints are
far apart, WAL holds enough for logical decoding, so every contender works on the same.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.fixtures import pgbench
from tests.fixtures.nodes import Node
from tests.fixtures.servers import DISK, Pool, Server

MAJOR = 15
"""The version that Debian 12 packages Bucardo's and pglogical's server parts for."""

SETTINGS = {
    "fsync": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_worker_processes": "20",
    "max_prepared_transactions": "0",  # its default
    "max_connections": "200",
    "autovacuum_naptime": "1min",
    "wal_retrieve_retry_interval": "100ms",  # or a subscription that is enabled again rests for up to five seconds
}

TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_tellers", "bench_marker")
"""What is replicated where TPC-B is the work: pgbench's tables with a key, and the row by which an arrival is seen."""

MARKER = "create table bench_marker (id int primary key, at timestamptz not null default clock_timestamp())"


class Grounds:
    """Two servers, a folder for files, and databases by number. `close` removes all of it."""

    def __init__(self, *, scale: int = 10) -> None:
        self.scale = scale
        self._pool = Pool(DISK)
        self._numbers = itertools.count(1)
        self._folder = tempfile.TemporaryDirectory(prefix="pgherd-bench-")
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)
        self.source, self.target = (self._pool.private(MAJOR, **SETTINGS) for _ in range(2))

    def close(self) -> None:
        """Remove servers and files."""
        self._pool.close()
        self._folder.cleanup()

    @contextmanager
    def databases(
        self, schema: str = "", servers: Sequence[Server] = (), *, extra: Mapping[str, str] | None = None
    ) -> Iterator[list[Node]]:
        """A fresh database on each server (default: source and target); dropped at the end.

        schema: SQL text that a template is made with once; empty: pgbench's tables, filled, and the marker.
        extra: settings that need servers of their own, removed at the end.
        """
        made: list[Node] = []
        number = next(self._numbers)
        places = list(servers or (self.source, self.target))
        if extra:
            places = [self._pool.private(MAJOR, **SETTINGS, **extra) for _ in places]
        try:
            for place, server in enumerate(places):
                name = "source" if place == 0 else "target" if place == 1 else f"target{place}"
                dbname = f"{name}_{number}"
                server.create_database(dbname, self._template(server, schema))
                made.append(Node(server, server.database(dbname, name, id=len(made) + 1)))
            yield made
        finally:
            if extra:
                self._pool.discard(places)
            else:
                for node in made:
                    node.server.drop_database(node.database.dbname)

    def _template(self, server: Server, schema: str) -> str:
        name = "template_" + hashlib.sha256(f"{schema} {self.scale}".encode()).hexdigest()[:16]
        if not server.execute("select from pg_database where datname = %s", [name]):
            server.create_database(name)
            node = Node(server, server.database(name))
            if schema:
                node.execute(schema)
            else:
                pgbench.initialise(node, scale=self.scale)
                node.execute(MARKER)
            node.execute("vacuum analyze")
            node.execute("checkpoint")
        return name

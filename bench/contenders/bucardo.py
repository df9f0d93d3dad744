"""Bucardo 5.6: Debian's package, its own database with plperl, and its daemon, as its manual has it. Needs root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench.grounds import MAJOR, Grounds
from tests.fixtures import processes
from tests.fixtures.nodes import Node
from tests.fixtures.wait import until

SCHEMA = Path("/usr/share/bucardo/bucardo.schema")


class Bucardo:
    """Bucardo."""

    name = "bucardo"
    settings: Mapping[str, str] = {}

    def missing(self) -> str:
        """Its program, or plperl on the server."""
        if shutil.which("bucardo") is None or not SCHEMA.exists():
            return "Bucardo is not installed (apt-get install bucardo)"
        if not Path(f"/usr/share/postgresql/{MAJOR}/extension/plperlu.control").exists():
            return f"plperl is not installed (apt-get install postgresql-plperl-{MAJOR})"
        return ""

    def start(self, grounds: Grounds, nodes: Sequence[Node], tables: Sequence[str]) -> BucardoDaemon:
        """Install its database, add databases, tables and a sync, start the daemon."""
        return BucardoDaemon(grounds, nodes, tables)


class BucardoDaemon:
    """The daemon with one sync, `bench`."""

    def __init__(self, grounds: Grounds, nodes: Sequence[Node], tables: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bucardo-", dir=grounds.folder)
        self._server = nodes[0].server
        self._install(nodes)
        roles = []
        for number, node in enumerate(nodes):
            place = node.database
            where = (f"dbname={place.dbname}", f"host={place.host}", f"port={place.port}", "user=bucardo")
            self("add", "db", node.name, *where)
            roles.append(f"{node.name}:{'target' if number else 'source'}")
        self("add", "table", *tables, f"db={nodes[0].name}", "relgroup=bench")
        self("add", "sync", "bench", "relgroup=bench", f"dbs={','.join(roles)}")
        self("start", f"--log-destination={self._folder.name}")
        self("kick", "bench", "60")

    def _install(self, nodes: Sequence[Node]) -> None:
        server = self._server
        for each in {node.server.port: node.server for node in nodes}.values():
            if not each.execute("select from pg_roles where rolname = 'bucardo'"):
                each.execute("create role bucardo superuser login")
        server.create_database("bucardo")
        server.execute("alter database bucardo owner to bucardo")
        psql = server.binaries.program("psql")
        command = [
            str(psql),
            "-h",
            server.host,
            "-p",
            str(server.port),
            "-U",
            "bucardo",
            "-q",
            "-f",
            str(SCHEMA),
            "bucardo",
        ]
        subprocess.run(command, capture_output=True, check=True, env=server.binaries.environment())
        for setting in (f"piddir={self._folder.name}", "reason_file=", "warning_file="):
            name, _, value = setting.partition("=")
            value = value or f"{self._folder.name}/{name}"
            server.execute(
                "update bucardo.bucardo_config set setting = %s where name = %s", [value, name], dbname="bucardo"
            )

    def __call__(self, *args: str, seconds: float = 120) -> str:
        """Run its command; what it printed."""
        place = ["--dbhost", self._server.host, "--dbport", str(self._server.port), "--dbuser", "bucardo"]
        command = ["bucardo", "--no-bucardorc", "--quiet", *place, "--dbname", "bucardo", *args]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def pause(self) -> None:
        """Take the sync off; triggers go on writing their log."""
        self("pause", "bench")

    def resume(self) -> None:
        """Take it up again, and let it run at once."""
        self("resume", "bench")
        self("kick", "bench")

    def close(self) -> None:
        """Stop the daemon, and drop its database."""
        pids = [int(path.read_text().split()[0]) for path in Path(self._folder.name).glob("*.pid")]
        self("stop")
        # After a large batch it takes its time over what the batch has left; the figure is taken by then.
        with suppress(AssertionError):
            until(lambda: not any(_alive(pid) for pid in pids), 30, "Bucardo has ended", every=0.2)
        processes.end([pid for pid in pids if _alive(pid)])
        self._server.drop_database("bucardo")
        self._folder.cleanup()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return signal.SIGTERM is not None and "bucardo" in Path(f"/proc/{pid}/cmdline").read_text().lower()
    except OSError:
        return False

"""A PostgreSQL server of a host: how its programs are called there, and whether it runs.

Only the host's own programs are used (its psql, its pg_ctl): a host needs no Python and no open port to be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from provision.transport import as_account, quote


class ServerState(StrEnum):
    """How far a server is."""

    BARE = "bare"  # there is no data directory
    STOPPED = "stopped"
    STARTING = "starting"  # its process is there, but it does not take connections
    RUNNING = "running"


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a server is on its host.

    bin, data, log: folders and the file of messages. host, port: where it listens. account: who runs it; empty: the
    account that we have there. passfile: from which psql takes the superuser's password; empty: psql is run under
    the server's account and needs none. major: its declared major version; 0: whichever is there. unit: the service of
    the system that starts it; empty: pg_ctl does. systemd: else that service is a SysV script.
    """

    bin: str
    data: str
    log: str
    host: str
    port: int
    superuser: str = "postgres"
    account: str = ""
    passfile: str = ""
    major: int = 0
    unit: str = ""
    systemd: bool = True

    @property
    def listens(self) -> bool:
        """Whether it is reached at an address, not by a socket in a folder."""
        return bool(self.host) and not self.host.startswith("/")

    def program(self, name: str) -> str:
        """The quoted path of one of its programs."""
        return quote(f"{self.bin}/{name}" if self.bin else name)

    def under_account(self, script: str) -> str:
        """A fragment that runs a script under the account of the server."""
        return as_account(self.account, script) if self.account else f"(\n{script.rstrip()}\n)\n"

    def psql(self, script: str, *, dbname: str = "postgres", stop: bool = True) -> str:
        """A fragment that feeds a psql script to the server; with `stop` it ends at the first error."""
        command = self.psql_command(dbname, stop=stop)
        mark = "end_of_sql"
        while mark in script:
            mark += "_"
        fragment = f"{command} <<'{mark}'\n{script.rstrip()}\n{mark}\n"
        return fragment if self.passfile else self.under_account(fragment)

    def psql_command(self, dbname: str = "postgres", *, stop: bool = True) -> str:
        """The command line of its psql."""
        options = f"-XAtqw -v ON_ERROR_STOP={int(stop)} -v VERBOSITY=terse"
        return f"{self.program('psql')} {options} -d {quote(self.conninfo(dbname))}"

    def ready(self) -> str:
        """A command that succeeds when the server takes connections."""
        where = f" -h {quote(self.host)}" if self.host else ""
        return f"{self.program('pg_isready')} -q -t 3{where} -p {self.port}"

    def conninfo(self, dbname: str, user: str = "") -> str:
        """How libpq reaches it from its own host."""
        parts = {"dbname": dbname, "user": user or self.superuser, "port": str(self.port)}
        if self.host:
            parts["host"] = self.host
        if self.passfile:
            parts["passfile"] = self.passfile
        parts |= {"connect_timeout": "10", "application_name": "provision"}
        return " ".join(f"{key}={conninfo_value(value)}" for key, value in parts.items())


def conninfo_value(value: str) -> str:
    """A value as libpq's connection strings want it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(frozen=True)
class ServerFact:
    """state, and the major version of the data directory ("" when bare)."""

    state: ServerState = ServerState.BARE
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> ServerFact:
        """Read what `postmaster` prints."""
        state, _, version = text.strip().partition(" ")
        return cls(ServerState(state), version)


def postmaster(server: Server) -> str:
    """A fragment that prints the server's state and its data directory's version.

    A process id in postmaster.pid may since have been given to another program, or belong to a server that has ended
    and that nobody has collected; so the process must also stand in the data directory.
    """
    data = quote(server.data)
    return f"""\
kind=$(kind_of {data}/PG_VERSION) || exit 1
if [ "$kind" = absent ]; then echo bare; exit 0; fi
version=$(cat {data}/PG_VERSION) || exit 1
pid=; [ -f {data}/postmaster.pid ] && pid=$(head -n 1 {data}/postmaster.pid)
alive=no; [ -n "$pid" ] && works_in "$pid" {data} && alive=yes
if [ $alive = no ]; then echo "stopped $version"
elif {server.ready()}; then echo "running $version"
else echo "starting $version"; fi
"""

"""A server's data directory, and the room that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from provision.change import Change
from provision.errors import HostFailed
from provision.facts import AnyProbe, Facts, Probe, Server, ServerFact, ServerState, free_space, postmaster
from provision.resources.base import here
from provision.resources.files import relabel
from provision.secrets import Secret
from provision.transport import quote


def server_probe(server: Server) -> Probe[ServerFact]:
    """Asks how far a server is."""
    return Probe(postmaster(server), ServerFact.parse, ServerFact())


@dataclass(frozen=True, kw_only=True)
class Room:
    """Enough free disk space, in megabytes, before a server is made. Changes nothing; stops what cannot end well."""

    server: Server
    megabytes: int

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"room for {self.server.data}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (server_probe(self.server), free_space(self.server.data))

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[server_probe(self.server)].state is not ServerState.BARE:
            return []
        free = facts[free_space(self.server.data)]
        if free < self.megabytes:
            raise HostFailed(
                f"{free} MB are free where {self.server.data} is to be, {self.megabytes} MB are needed.",
                hint="Free some, or choose another place (state_dir, postgresql.data_dir).",
            )
        return []


@dataclass(frozen=True, kw_only=True)
class DataDirectory:
    """A data directory made by initdb: checksums, scram, the superuser's password never on a command line."""

    server: Server
    locale: str
    encoding: str
    checksums: bool
    password: Secret

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"data directory {self.server.data}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (server_probe(self.server),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[server_probe(self.server)]
        if found.state is ServerState.BARE:
            return [Change(summary=f"create {self.name}", script=self._script())]
        if self.server.major and found.version != str(self.server.major):
            raise HostFailed(
                f"{self.server.data} is of PostgreSQL {found.version}, {self.server.major} is declared.",
                hint="Declare the version that is there, or rebuild the host.",
            )
        return []

    def _script(self) -> str:
        """Make it beside its place and rename it: whoever finds a data directory finds a whole one."""
        new = quote(f"{self.server.data}.new")
        parent = quote(str(PurePosixPath(self.server.data).parent))
        opening, body = here(self.password.reveal())
        options = f"-U {quote(self.server.superuser)} -A scram-sha-256 --locale={quote(self.locale)} -E {self.encoding}"
        if self.checksums:
            options += " --data-checksums"
        reach = f'[ -x {parent} ] || {{ echo "$(id -un) cannot enter {parent}: choose another place"; exit 1; }}\n'
        work = f"{self.server.program('initdb')} -D {new} {options} --pwfile=/dev/stdin {opening} || exit 1\n{body}"
        owner = f"chown {quote(self.server.account)}: {new} || exit 1\n" if self.server.account else ""
        data = quote(self.server.data)
        # The folder above may be somebody else's, so it is not the server's account that makes this one and renames it.
        return (
            f"(\n{self.server.under_account(reach)}) || exit 1\n"
            f"rm -rf {new} && mkdir -m 700 {new} || exit 1\n{owner}"
            f"(\n{self.server.under_account(work)}) || exit 1\n"
            f"if [ -d {data} ]; then rmdir {data} || exit 1; fi\n"
            f"mv {new} {data} || exit 1\n{relabel(data, '-R ')}"
        )

"""What a host should not have (any more): a running server, files, an account of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe, Server, ServerState, text_of
from provision.resources.accounts import COMMENT
from provision.resources.base import Resource
from provision.resources.datadir import server_probe
from provision.transport import quote

FAST_SECONDS = 60
AT_ONCE_SECONDS = 10


@dataclass(frozen=True)
class Halted:
    """A server that does not run. Needs none of its programs: they may be gone already."""

    server: Server

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"no server in {self.server.data}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (server_probe(self.server),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[server_probe(self.server)].state in (ServerState.BARE, ServerState.STOPPED):
            return []
        return [Change(summary="stop the server", script=self._script())]

    def _script(self) -> str:
        """SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one."""
        data = quote(self.server.data)
        if self.server.unit and self.server.systemd:
            return f"systemctl stop {quote(self.server.unit)}\n"
        return (
            f"pid=$(head -n 1 {data}/postmaster.pid) || exit 1\n"
            f"gone() {{ n=0; while works_in $pid {data}; do\n"
            '  n=$((n + 1)); [ $n -le "$1" ] || return 1; sleep 0.1; done; }\n'
            f"kill -INT $pid || exit 1; gone {FAST_SECONDS * 10} && exit 0\n"
            f'kill -QUIT $pid; gone {AT_ONCE_SECONDS * 10} || {{ echo "process $pid does not end"; exit 1; }}\n'
        )


@dataclass(frozen=True)
class Gone:
    """A path with nothing there. if_empty: a folder stays when something else is in it."""

    path: str
    if_empty: bool = False

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"no {self.path}"

    @property
    def _probe(self) -> Probe[bool]:
        path = quote(self.path)
        emptied = f' && [ -z "$(ls -A {path})" ]' if self.if_empty else ""
        script = f"k=$(kind_of {path}) || exit 1\nif [ $k != absent ]{emptied}; then echo yes; else echo no; fi\n"
        return Probe(script, lambda text: text.strip() == "yes", False)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._probe,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if not facts[self._probe]:
            return []
        script = f"rmdir {quote(self.path)}\n" if self.if_empty else f"rm -rf {quote(self.path)}\n"
        return [Change(summary=f"remove {self.path}", script=script)]


@dataclass(frozen=True)
class Former:
    """Nothing of what a file shows to be ours; what is somebody else's stays. mine: lines that only our file has."""

    file: str
    mine: str
    parts: tuple[Resource, ...]

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"nothing of ours that {self.file} stands for"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (text_of(self.file), *(probe for part in self.parts for probe in part.probes()))

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = (facts[text_of(self.file)].text or "").splitlines()
        if any(line not in found for line in self.mine.splitlines()):
            return []
        return [change for part in self.parts for change in part.plan(facts)]


@dataclass(frozen=True)
class AccountGone:
    """No account that we have made. One that was there before us stays, and one that something still runs under."""

    account: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"no account {self.account} of ours"

    @property
    def _probe(self) -> Probe[bool]:
        account = quote(self.account)
        script = (
            f"made=$(awk -F: -v a={account} '$1 == a {{ print $5 }}' /etc/passwd)\n"
            f'if [ "$made" = {COMMENT} ] && ! ps -u {account} -o pid= | grep -q .; then echo yes; else echo no; fi\n'
        )
        return Probe(script, lambda text: text.strip() == "yes", False)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._probe,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if not facts[self._probe]:
            return []
        account = quote(self.account)
        # The group outlives its account while others are in it.
        script = f"userdel {account} || exit 1\nif getent group {account} >/dev/null; then groupdel {account}; fi\n"
        return [Change(summary=f"remove system account {self.account}", script=script)]

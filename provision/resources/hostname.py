"""The name that a host knows itself by, now and after a boot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe
from provision.transport import quote

NETWORK = "/etc/sysconfig/network"


@dataclass(frozen=True, kw_only=True)
class HostnameFact:
    """running: what the kernel says; kept: what it will say after a boot."""

    running: str = ""
    kept: str = ""


def _parse(text: str) -> HostnameFact:
    lines = [line.strip() for line in text.splitlines()]
    return HostnameFact(running=lines[0], kept=lines[1] if len(lines) > 1 else "")


@dataclass(frozen=True, kw_only=True)
class Hostname:
    """The host's own name. systemd: else /etc/sysconfig/network keeps it."""

    hostname: str
    systemd: bool = True

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"hostname {self.hostname}"

    @property
    def _current(self) -> Probe[HostnameFact]:
        kept = "cat /etc/hostname 2>/dev/null; true"
        if not self.systemd:
            kept = f"sed -n 's/^HOSTNAME=\"\\{{0,1\\}}\\([^\"]*\\).*/\\1/p' {NETWORK} | tail -n 1"
        return Probe(f"uname -n\n{kept}\n", _parse, HostnameFact())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._current,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._current]
        if found.running == found.kept == self.hostname:
            return []
        script = f"hostnamectl set-hostname {quote(self.hostname)}\n" if self.systemd else self._sysv()
        before = "\n".join(dict.fromkeys(name for name in (found.running, found.kept) if name)) or None
        return [Change(summary=f"set {self.name}", script=script, before=before, after=self.hostname)]

    def _sysv(self) -> str:
        line = quote(f"HOSTNAME={self.hostname}")
        return (
            f"t=$(mktemp {NETWORK}.XXXXXX) || exit 1\ntrap 'rm -f \"$t\"' EXIT\n"
            f"{{ grep -v '^HOSTNAME=' {NETWORK} 2>/dev/null; printf '%s\\n' {line}; }} >\"$t\" || exit 1\n"
            f'chmod 644 "$t" && mv -f "$t" {NETWORK} || exit 1\nhostname {quote(self.hostname)}\n'
        )

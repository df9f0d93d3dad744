"""System accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe
from provision.transport import quote

COMMENT = "pgherd"
"""The comment of accounts that we have made: only those are taken away again."""


def _exists(text: str) -> bool:
    return text.strip() == "yes"


@dataclass(frozen=True)
class Account:
    """An unprivileged account that a server can run under. One that exists is taken as it is."""

    account: str
    home: str = "/nonexistent"

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"account {self.account}"

    @property
    def _probe(self) -> Probe[bool]:
        return Probe(f"if id -u {quote(self.account)} >/dev/null 2>&1; then echo yes; else echo no; fi", _exists, False)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._probe,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[self._probe]:
            return []
        account = quote(self.account)
        script = (
            f"if getent group {account} >/dev/null; then g='--gid {account}'; else g=--user-group; fi\n"
            f"useradd --system $g --no-create-home --home-dir {quote(self.home)} --shell /usr/sbin/nologin"
            f" --comment {COMMENT} {account}\n"
        )
        return [Change(summary=f"create system account {self.account}", script=script)]

"""dnf's modules: which stream of a module is on, or that none is, so that it hides no packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe
from provision.transport import quote

DISABLED = "disabled"


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module with a stream that is on; stream "disabled": with none."""

    module: str
    stream: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"module {self.module} {self.stream}"

    @property
    def _path(self) -> str:
        return f"/etc/dnf/modules.d/{self.module}.module"

    @property
    def _state(self) -> Probe[str]:
        ask = f"[ ! -r {self._path} ] || sed -n 's/^\\(stream\\|state\\) *= *//p; s/ *$//' {self._path}"
        return Probe(ask, _chosen, "")

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._state,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._state]
        if found == self.stream:
            return []
        if self.stream == DISABLED:
            # What dnf itself writes. It would fetch the lists of all repositories for it, and fail where no
            # repository has such a module at all.
            text = f"[{self.module}]\\nname={self.module}\\nstream=\\nprofiles=\\nstate=disabled\\n"
            script = f"mkdir -p /etc/dnf/modules.d && printf '{text}' >{self._path} && chmod 644 {self._path}\n"
            return [Change(summary=f"disable module {self.module}", script=script, before=found or None)]
        reset = f"dnf -y -q module reset {quote(self.module)} || exit 1\n" if found else ""
        script = f"{reset}dnf -y -q module enable {quote(f'{self.module}:{self.stream}')}\n"
        return [Change(summary=f"enable {self.name}", script=script, before=found or None, after=self.stream)]


def _chosen(text: str) -> str:
    """The stream that is on, "disabled", or "" when nothing was chosen."""
    words = text.split()
    if DISABLED in words:
        return DISABLED
    return words[0] if "enabled" in words else ""

"""The PostgreSQL programs of a Python wheel, copied to where a host's server runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, look_at
from provision.transport import quote


@dataclass(frozen=True, kw_only=True)
class Programs:
    """A copy of a wheel's binaries under a folder of our own.

    The server's account may not reach the virtual environment (a checkout under /root is closed to it), and servers
    outlive the environment that began them, so they never run from it. parts: files and folders of the wheel,
    relative to source; destination carries the wheel's version, so a new wheel is a new folder.
    """

    source: str
    parts: tuple[str, ...]
    destination: str
    label: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"programs {self.label}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (look_at(self.destination),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[look_at(self.destination)].kind == "directory":
            return []
        return [Change(summary=f"copy {self.label} to {self.destination}", script=self._script())]

    def _script(self) -> str:
        """Copy beside and rename: whoever finds the folder finds all of it."""
        final, new = quote(self.destination), quote(f"{self.destination}.new")
        copies = "".join(
            f"mkdir -p {new}/{quote(str(PurePosixPath(part).parent))} || exit 1\n"
            f"cp -R -p {quote(f'{self.source}/{part}')} {new}/{quote(part)} || exit 1\n"
            for part in self.parts
        )
        return (
            f"umask 022; rm -rf {new} || exit 1; mkdir -p {new} || exit 1\n"
            f"{copies}chmod -R go+rX {new} || exit 1\nmv {new} {final}\n"
        )

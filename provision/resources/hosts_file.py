"""The nodes' names in a host's /etc/hosts: a block of lines that is ours, in a file that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.errors import HostFailed
from provision.facts import AnyProbe, Facts, text_of
from provision.resources.files import File

PATH = "/etc/hosts"
BEGIN, END = "# begin: nodes of pgherd", "# end: nodes of pgherd"


@dataclass(frozen=True, kw_only=True)
class HostsFile:
    """A block that names the nodes. names: those in it; other lines must not say otherwise, so they lose them."""

    block: str
    names: frozenset[str]

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"nodes in {PATH}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (text_of(PATH),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[text_of(PATH)]
        if found.kind not in ("absent", "file"):
            raise HostFailed(f"{PATH} is a {found.kind}, not a file.", hint="Move it away.")
        text = self._text(found.text or "127.0.0.1 localhost\n::1 localhost\n")
        return File(path=PATH, text=text).plan(facts)

    def _text(self, found: str) -> str:
        kept = [line for line in map(self._without_names, _outside(found.splitlines())) if line is not None]
        return "\n".join([*kept, BEGIN, *self.block.splitlines(), END]) + "\n"

    def _without_names(self, line: str) -> str | None:
        """A line without the names of nodes; None when nothing is left of it."""
        entry, mark, comment = line.partition("#")
        words = entry.split()
        if not self.names.intersection(words[1:]):
            return line
        names = [word for word in words[1:] if word not in self.names]
        return " ".join([words[0], *names]) + (f" {mark}{comment}" if mark else "") if names else None


def _outside(lines: Sequence[str]) -> list[str]:
    """The lines that are not in our block."""
    found, inside = [], False
    for line in lines:
        if line == BEGIN:
            inside = True
        elif line == END:
            inside = False
        elif not inside:
            found.append(line)
    return found

"""A Python program in a virtual environment of its own: a folder for each state, and a link that names the one in use.

A new state is made beside the old one and takes its place by one rename. The old one stays until nothing uses it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from provision.change import Change, Note
from provision.errors import HostFailed
from provision.facts import AnyProbe, Facts, Probe
from provision.facts.gathering import NotYet
from provision.resources.base import here
from provision.resources.packages import install
from provision.transport import quote
from provision.wheelhouse import Target
from provision.wheelhouse.target import OLDEST

CURRENT = "current"

LOOK_FOR = r"""
for p in python3.11 python3.12 python3.13 python3.14 python3; do
  p=$(command -v "$p") || continue
  "$p" -c '
import platform, sys, venv
libc, version = platform.libc_ver()
if sys.version_info < (3, 11) or libc != "glibc":
    sys.exit(1)
print(sys.executable, sys.version_info[0], sys.version_info[1], platform.machine(), version)
' 2>/dev/null && break
done
true
"""
"""Prints the first Python that will do. Those of a fixed version come first: they stay when the system's moves on."""


def _target(text: str) -> Target | None:
    words = text.split()
    if not words:
        return None
    program, major, minor, machine, glibc = words
    return Target(program, (int(major), int(minor)), machine, int(glibc.split(".")[1]))


PYTHON: Probe[Target | None] = Probe(LOOK_FOR, _target, None)


@dataclass(frozen=True)
class Interpreter:
    """A Python that is new enough. package: what brings one where there is none; empty: nothing does."""

    package: str
    installer: str = "dnf"
    release: str = ""

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return "Python"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (PYTHON,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[PYTHON]:
            return []
        if not self.package:
            oldest = ".".join(map(str, OLDEST))
            raise HostFailed(
                f"the replicator needs Python {oldest} or later, which {self.release} does not have.",
                hint="Let another host run it, or this machine: replication.runs_on: HOST or control.",
            )
        return [
            Change(
                summary=f"install {self.package}",
                script=install(self.installer, [self.package]),
                after=self.package,
            )
        ]


class Source(Protocol):
    """What is installed, for a host's Python."""

    @property
    def digest(self) -> str:
        """Stands for it."""
        ...

    @property
    def index(self) -> str:
        """The address from which the host fetches what the archive lacks; empty: it lacks nothing."""
        ...

    def archive(self, note: Note) -> bytes:
        """A tar of wheels with pip's among them and requirements.txt. Takes its time, and tells of it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A program installed from wheels. program: what it is called in `bin`. source: of a Python's wheels."""

    folder: str
    program: str
    source: Callable[[Target], Source] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"programs in {self.folder}"

    @property
    def _current(self) -> Probe[str]:
        link = quote(f"{self.folder}/{CURRENT}")
        return Probe(f"if [ -x {link}/bin/{self.program} ]; then readlink {link}; fi\n", str.strip, "")

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (PYTHON, self._current)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        target = facts[PYTHON]
        if target is None:
            raise NotYet("there is no Python yet")
        source = self.source(target)
        found = facts[self._current]
        if found == source.digest:
            return []
        return [
            Change(
                summary=f"install {self.program} for {target.name} in {self.folder}",
                prepare=lambda note: self._script(target, source, note),
                before=found or None,
                after=source.digest,
            )
        ]

    def _script(self, target: Target, source: Source, note: Note) -> str:
        opening, body = here(base64.encodebytes(source.archive(note)).decode())
        new = f"{self.folder}/{source.digest}"
        index = f"PIP_INDEX_URL={quote(source.index)} " if source.index else ""
        offline = "" if source.index else "--no-index --find-links . "
        return (
            f"umask 022; new={quote(new)}\necho 'unpacking'\n"
            f'rm -rf "$new" && mkdir -p "$new" || exit 1\n'
            f'{quote(target.program)} -m venv --without-pip "$new" || exit 1\n'
            f'mkdir "$new/wheels" && cd "$new/wheels" || exit 1\n'
            f"base64 -d {opening} >../wheels.tar || exit 1\n{body}"
            "tar -xf ../wheels.tar || exit 1\necho 'installing'\n"
            "installer=$(echo pip-*.whl)/pip\n"
            f'{index}PIP_CONFIG_FILE=/dev/null "$new/bin/python" "$installer" install -q --no-cache-dir'
            f" --disable-pip-version-check --no-input {offline}-c constraints.txt -r requirements.txt || exit 1\n"
            'cd / && rm -rf "$new/wheels" "$new/wheels.tar" || exit 1\n'
            f'"$new/bin/{self.program}" --version >/dev/null || exit 1\n'
            f"if command -v restorecon >/dev/null; then restorecon -R {quote(self.folder)}; fi\n"
            'sync -f "$new" || exit 1\n'  # a power cut leaves what the link names whole
            f"ln -sfn {source.digest} {quote(f'{self.folder}/{CURRENT}.new')} || exit 1\n"
            f"mv -fT {quote(f'{self.folder}/{CURRENT}.new')} {quote(f'{self.folder}/{CURRENT}')}\n"
        )


@dataclass(frozen=True)
class OnlyCurrent:
    """No states of an environment but the one in use. Comes after whatever runs from it was restarted."""

    folder: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"nothing old in {self.folder}"

    @property
    def _old(self) -> Probe[tuple[str, ...]]:
        folder = quote(self.folder)
        script = (
            f"cd {folder} 2>/dev/null || exit 0\nc=$(readlink {CURRENT}) || exit 0\n"
            f'for d in *; do [ "$d" = {CURRENT} ] || [ "$d" = "$c" ] || [ ! -d "$d" ] || echo "$d"; done\n'
        )
        return Probe(script, lambda text: tuple(text.split()), ())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._old,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        old = facts[self._old]
        if not old:
            return []
        paths = " ".join(quote(f"{self.folder}/{name}") for name in old)
        return [Change(summary=f"remove what {self.folder} had before", script=f"rm -rf {paths}\n")]

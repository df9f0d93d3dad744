"""Packages, services and the name of a CentOS-family host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe
from provision.transport import quote


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True, kw_only=True)
class Packages:
    """Installed packages. source: from where, when not by their names (the address of a package). before: a command
    that must have run first."""

    packages: tuple[str, ...]
    installer: str = "dnf"
    source: str = ""
    before: str = ""

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"packages {', '.join(self.packages)}"

    @property
    def _missing(self) -> Probe[tuple[str, ...]]:
        names = " ".join(quote(package) for package in self.packages)
        script = (
            "command -v rpm >/dev/null || { echo 'this is no CentOS-family host: it has no rpm' >&2; exit 1; }\n"
            f'for p in {names}; do rpm -q "$p" >/dev/null 2>&1 || echo "$p"; done\n'
        )
        return Probe(script, _words, self.packages)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._missing,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        missing = facts[self._missing]
        if not missing:
            return []
        what = quote(self.source) if self.source else " ".join(quote(package) for package in missing)
        first = f"{self.before} || exit 1\n" if self.before else ""
        script = f"{first}{self.installer} -y -q install {what}\n"
        return [Change(summary=f"install {', '.join(missing)}", script=script, after="\n".join(missing))]


@dataclass(frozen=True, kw_only=True)
class NoPackages:
    """Packages that are not installed. What they needed, and what others need too, stays."""

    packages: tuple[str, ...]
    installer: str = "dnf"

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"no packages {', '.join(self.packages)}"

    @property
    def _there(self) -> Probe[tuple[str, ...]]:
        names = " ".join(quote(package) for package in self.packages)
        return Probe(f'for p in {names}; do if rpm -q "$p" >/dev/null 2>&1; then echo "$p"; fi; done\n', _words, ())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._there,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        there = facts[self._there]
        if not there:
            return []
        script = f"{self.installer} -y -q remove {' '.join(quote(package) for package in there)}\n"
        return [Change(summary=f"remove {', '.join(there)}", script=script, before="\n".join(there))]


@dataclass(frozen=True)
class Unit:
    """A service of the system that runs now and after every boot."""

    unit: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"service {self.unit}"

    @property
    def _state(self) -> Probe[tuple[str, ...]]:
        unit = quote(self.unit)
        return Probe(f"systemctl is-enabled {unit}; systemctl is-active {unit}; true", _words, ())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._state,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[self._state] == ("enabled", "active"):
            return []
        summary = f"start {self.unit} now and at boot"
        return [Change(summary=summary, script=f"systemctl enable --now {quote(self.unit)}\n")]


@dataclass(frozen=True)
class Hostname:
    """The name that a host knows itself by."""

    hostname: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"hostname {self.hostname}"

    @property
    def _current(self) -> Probe[str]:
        return Probe("uname -n", str.strip, "")

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._current,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._current]
        if found == self.hostname:
            return []
        script = f"hostnamectl set-hostname {quote(self.hostname)}\n"
        return [Change(summary=f"set {self.name}", script=script, before=found or None, after=self.hostname)]

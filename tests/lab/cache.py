"""Where image and repository are kept between runs: built once for a state of what they are made of.

A build happens beside its place and is renamed into it, so a half-built one is never used; builders wait for each
other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import image, stock
from tests.lab.repository import Repository
from tests.lab.shell import run

ROOT = Path("/var/cache/pgherd/lab")
HERE = Path(__file__).parent
INGREDIENTS = ("image.py", "rpms.py", "recipes.py", "repository.py", "stock.py", "clock.c", "recipes/*.yml")
KEPT = 3
"""How many builds stay, the latest used ones: branches that differ take turns."""


@dataclass(frozen=True)
class Build:
    """A finished build. A lab that uses it holds it by `hold`."""

    folder: Path

    @property
    def tree(self) -> Path:
        """The files that every host begins with. Never written to."""
        return self.folder / "tree"

    @property
    def mirror(self) -> Path:
        """What the lab's mirror serves: a folder for each repository."""
        return self.folder / "mirror"

    def repository(self, name: str) -> Repository:
        """A repository of the mirror."""
        return Repository(self.mirror / name, self.folder / f"keys-{name}")

    def hold(self) -> int:
        """Keep it from being removed, as long as the returned descriptor is open in some process."""
        descriptor = os.open(self.folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor


def get(report: Callable[[str], None] = lambda _text: None) -> Build:
    """The build for what stands in this folder now, made if it is not there yet."""
    ROOT.mkdir(parents=True, exist_ok=True)
    found = Build(ROOT / digest())
    with locked(ROOT / "lock"):
        if not found.folder.exists():
            _make(found.folder, report)
            _remove_old(found.folder)
        os.utime(found.folder)
    return found


def digest() -> str:
    """Names what image and repository are made of."""
    seen = hashlib.sha256()
    for path in sorted(path for pattern in INGREDIENTS for path in HERE.glob(pattern)):
        seen.update(path.relative_to(HERE).as_posix().encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()[:16]


def _make(folder: Path, report: Callable[[str], None]) -> None:
    began = time.monotonic()
    for left in ROOT.glob("*.building"):  # of a builder that was killed: nobody else builds now
        shutil.rmtree(left)
    beside = Build(folder.with_suffix(".building"))
    beside.folder.mkdir()
    debs, work = beside.folder / "debs", beside.folder / "work"

    def step(text: str) -> None:
        report(f"{time.monotonic() - began:4.0f} s  {text}")

    step("Debian's packages, from the mirror")
    image.base(beside.tree, debs, stock.debian_packages())
    image.shape(beside.tree, HERE / "clock.c")
    step("RPMs of them, signed")
    packages = stock.build([beside.repository(name) for name in stock.NAMES], beside.tree, debs, work)
    step("the image, by its own dnf")
    image.finish(beside.tree, [beside.repository(name) for name in stock.NAMES], packages)
    run("sync", "-f", beside.folder)
    beside.folder.rename(folder)
    step("done")


def _remove_old(newest: Path) -> None:
    builds = [path.parent for path in ROOT.glob("*/tree") if path.parent != newest]
    for folder in sorted(builds, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        lock = folder.with_suffix(".lock")
        with lock.open("a") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # a lab runs on it
            shutil.rmtree(folder)
            lock.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Exclude all others that take the same lock."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

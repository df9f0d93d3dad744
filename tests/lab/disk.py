"""A host's disk: a file with an ext4 file system of its own, laid over the image.

What a host writes goes to its disk alone, and `fsync` means there what it means on a machine: when the power is cut,
what was not synced is gone.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

from tests.lab.places import Places
from tests.lab.shell import CommandFailed, run

SIZE = 3 << 30
SHUT_DOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN: from now on nothing reaches the disk."""
WITHOUT_FLUSHING = 2
SPARE = 256 * 1024


class Disk:
    """The disk of a host."""

    def __init__(self, places: Places, host: str) -> None:
        self._image, self._disk, self._root = places.image(host), places.disk(host), places.root(host)
        self._filler = self._disk / "filler"

    def make(self) -> None:
        """Make an empty one."""
        for folder in (self._disk, self._root):
            folder.mkdir(parents=True)
        with self._image.open("xb") as image:
            image.truncate(SIZE)
        run("mkfs.ext4", "-q", "-F", "-m", 0, "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", self._image)

    def mount(self, below: Path) -> None:
        """Mount it, and over it the host's files: the image `below`, and what is on the disk."""
        if not is_mounted(self._disk):
            run("mount", "-o", "loop", self._image, self._disk)
        if not is_mounted(self._root):
            upper, work = self._disk / "files", self._disk / "work"
            upper.mkdir(exist_ok=True)
            work.mkdir(exist_ok=True)
            layers = f"lowerdir={below},upperdir={upper},workdir={work}"
            run("mount", "-t", "overlay", "overlay", "-o", layers, self._root)

    def unmount(self) -> None:
        """Unmount it; nothing of the host may run any more."""
        for folder in (self._root, self._disk):
            unmount(folder)

    def sync(self) -> None:
        """Write to it what the file system holds in memory."""
        run("sync", "--file-system", self._disk)

    def cut_power(self) -> None:
        """Let nothing reach it any more, not even what the file system holds in memory."""
        disk = os.open(self._disk, os.O_RDONLY)
        try:
            fcntl.ioctl(disk, SHUT_DOWN, struct.pack("I", WITHOUT_FLUSHING))
        finally:
            os.close(disk)

    def fill(self) -> None:
        """Leave next to no room on it."""
        room = os.statvfs(self._disk)
        with self._filler.open("ab") as filler:
            end = filler.tell()
            os.posix_fallocate(filler.fileno(), end, max(room.f_bavail * room.f_frsize - SPARE, 1))

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


def is_mounted(folder: Path) -> bool:
    """Whether something is mounted there; mountpoint(1) says no of a disk whose power was cut."""
    return str(folder) in _mounts()


def unmount(folder: Path, seconds: float = 10) -> None:
    """Unmount what is mounted at a folder, waiting for those that still look at it."""
    deadline = time.monotonic() + seconds
    while is_mounted(folder):
        try:
            run("umount", folder)
        except CommandFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def mounts_below(folder: Path) -> list[Path]:
    """What is mounted at a folder and below it, the innermost first."""
    return [Path(mount) for mount in reversed(_mounts()) if Path(mount).is_relative_to(folder)]


def _mounts() -> list[str]:
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]

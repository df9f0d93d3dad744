"""The file by which the daemon of an install is found: its lock says whether one runs, its text says which.

The lock is the kernel's and goes with the process, however that ends. So a number left behind in the file is never
taken for a daemon, and the file is never removed (two processes could lock two files of one name).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from replicator.config import Config
from replicator.errors import ConfigError, ReplicatorError

PATIENCE = 1.0
"""Seconds: whoever asks `holder` takes the lock for an instant, and a master may still be leaving."""


@dataclass
class PidFile:
    """The pid file of an install on this machine."""

    path: Path
    _fd: int = field(default=-1, init=False)

    @classmethod
    def of(cls, config: Config) -> PidFile:
        """The pid file that a configuration stands for: installs may share a directory."""
        return cls(config.run_dir / f"{config.install.name}.pid")

    def take(self) -> bool:
        """Become the holder until this process ends. False: another process is.

        Raises ConfigError when the directory cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not _lock_within(fd, PATIENCE):
                os.close(fd)
                return False
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()} {_born(os.getpid())}\n".encode(), 0)
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}.", hint="Correct run_dir, or its permissions.") from error
        self._fd = fd
        return True

    def holder(self) -> int | None:
        """The process id of the running daemon; None when there is none.

        Raises ReplicatorError when the file is held by a process that cannot be seen from here.
        """
        deadline = time.monotonic() + PATIENCE
        try:
            with self.path.open() as file:
                while _locked(file.fileno()):
                    file.seek(0)
                    pid, _, born = file.readline().strip().partition(" ")
                    if pid.isdigit() and born == _born(int(pid)):
                        return int(pid)
                    if time.monotonic() > deadline:
                        raise ReplicatorError(f"{self.path} is held by a process that cannot be seen from here.")
                    time.sleep(0.01)  # just taken: what stands there is not the holder's yet
        except FileNotFoundError:
            pass
        return None


def _lock_within(fd: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def alive(pid: int) -> bool:
    """Whether a process runs. One that has ended and waits for its parent to notice does not."""
    return bool(_born(pid)) and _state(pid) not in ("Z", "X")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return found.stdout.strip()[:1] or "X"


def _born(pid: int) -> str:
    """Something that tells a process from a later one with its number; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return " ".join(found.stdout.split())

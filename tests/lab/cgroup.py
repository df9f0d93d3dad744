"""The control group of a host, or of a lab: all its processes, to be limited, frozen and found.

Both versions of control groups are in use: the old with a tree per controller, and the new with one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
IS_NEW = (ROOT / "cgroup.controllers").exists()
TREES = ("systemd", "memory", "cpu", "cpuacct", "pids", "devices", "freezer", "blkio", "unified")


class Group:
    """The group `lab/host`, or `lab` with all its hosts."""

    def __init__(self, name: str) -> None:
        self.name = name

    def join(self, memory: int = 0) -> None:
        """Make it, if it is not there, and move the calling process into it. memory: the most it may use, in bytes."""
        for folder in self._folders():
            folder.mkdir(parents=True, exist_ok=True)
        if IS_NEW:
            for above in reversed(Path(self.name).parents):
                with contextlib.suppress(OSError):  # where this machine's own groups do not allow limits
                    (ROOT / above / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        for folder in self._folders():
            (folder / "cgroup.procs").write_text(str(os.getpid()))
        limit = ROOT / self.name / "memory.max" if IS_NEW else ROOT / "memory" / self.name / "memory.limit_in_bytes"
        if memory and limit.exists():
            limit.write_text(str(memory))

    def processes(self) -> list[int]:
        """All processes in it, and in the groups below."""
        found = []
        # The freezer's tree is one that the system inside a host makes no groups in.
        for folder in self._folders() if IS_NEW else [ROOT / "freezer" / self.name]:
            for listed in [folder / "cgroup.procs", *folder.rglob("cgroup.procs")]:
                with contextlib.suppress(OSError):
                    found += [int(pid) for pid in listed.read_text().split()]
        return sorted(set(found))

    def freeze(self, yes: bool = True) -> None:
        """Stop all its processes where they are, or let them go on."""
        if IS_NEW:
            (ROOT / self.name / "cgroup.freeze").write_text(str(int(yes)))
        else:
            (ROOT / "freezer" / self.name / "freezer.state").write_text("FROZEN" if yes else "THAWED")

    def kill(self, seconds: float = 20) -> None:
        """End all its processes at once. Raises TimeoutError when some do not go."""
        deadline = time.monotonic() + seconds
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for frozen in [self, *self._below()]:
                with contextlib.suppress(OSError):
                    frozen.freeze(False)  # a frozen process would not hear of it
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {pids} of {self.name} do not end")
            time.sleep(0.02)

    def remove(self) -> None:
        """Remove it, and the groups below. It must be empty."""
        for folder in self._folders():
            for below in sorted(folder.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    below.rmdir()
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _folders(self) -> list[Path]:
        if IS_NEW:
            return [ROOT / self.name]
        return [ROOT / tree / self.name for tree in TREES if (ROOT / tree).is_dir()]

    def _below(self) -> list[Group]:
        folder = self._folders()[0] if IS_NEW else ROOT / "freezer" / self.name
        with contextlib.suppress(OSError):
            return [Group(f"{self.name}/{path.name}") for path in folder.iterdir() if path.is_dir()]
        return []

"""One run at a time on each host: a lock file in the state directory, held by the run and by its steps."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.errors import HostFailed

LEFT_OVER_SECONDS = 120.0
"""How long to wait for a step that a killed run has left running; steps that take longer are rare."""


@contextmanager
def held(path: Path, stopping: Callable[[], bool]) -> Iterator[int]:
    """Hold the lock of a host; gives its descriptor, for scripts to inherit.

    Another live run: HostFailed at once. Only a step of a run that was killed: wait until it has ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _take(path, stopping)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.truncate(descriptor, 0)
        os.close(descriptor)


def _take(path: Path, stopping: Callable[[], bool]) -> int:
    deadline = time.monotonic() + LEFT_OVER_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(descriptor, path):
                return descriptor
            os.close(descriptor)
            continue
        pid = _holder(descriptor)
        os.close(descriptor)
        if pid and _alive(pid):
            raise HostFailed(
                f"another provision run (process {pid}) is working on it.", hint="Wait until it has ended."
            )
        if time.monotonic() > deadline or stopping():
            raise HostFailed(
                f"a step of an earlier run still holds {path} after {LEFT_OVER_SECONDS:g} s.",
                hint=f"See which process it is (`fuser {path}`).",
            )
        time.sleep(0.1)


def _still_there(descriptor: int, path: Path) -> bool:
    """Whether the file that we have locked is the one that others find (`destroy` removes it)."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else 0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

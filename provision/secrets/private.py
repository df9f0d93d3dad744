"""Files that only their owner may read."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from provision.errors import Fault, InputError


def check_private(path: Path, found: os.stat_result) -> None:
    """Raise InputError when others can read a file, or it is not ours."""
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        message = f"found mode {mode:04o}, expected 0600: others can read these secrets. Run `chmod 600 {path}`"
        raise InputError([Fault(str(path), 0, "", message)])
    if found.st_uid not in (os.geteuid(), 0):
        raise InputError([Fault(str(path), 0, "", "belongs to another user, expected it to be yours")])


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

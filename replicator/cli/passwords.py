"""Puts passwords that are typed or piped into the password file, the only place that holds any."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replicator.config import Config
from replicator.errors import ConfigError, UsageError
from replicator.model import Database


def read_line() -> str:
    """A password from standard input, to the end of its first line. Raises UsageError when there is none."""
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("--password-stdin was given, but standard input holds no password.")
    return password


@contextmanager
def kept(config: Config, database: Database, password: str | None) -> Iterator[None]:
    """Have the password in the file from now on, unless the block fails: then the file is as it was."""
    if password is None:
        yield
        return
    path = _path(config)
    before = path.read_text() if path.exists() else None
    write(path, with_entry(before or "", database, password))
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            write(path, before)
        raise


def _path(config: Config) -> Path:
    if config.passfile is None:
        raise ConfigError(
            f"{config.path or 'the configuration'} names no passfile to put the password into.",
            hint='Add a line such as passfile = "passwords" to it.',
        )
    return config.passfile


def with_entry(text: str, database: Database, password: str) -> str:
    """The file's text with the database's entry before all others, in place of a former one. Pure."""
    place = ":".join(
        escaped(part) for part in (database.host or "localhost", str(database.port), database.dbname, database.user)
    )
    others = [line for line in text.splitlines() if not line.startswith(f"{place}:")]
    return "\n".join([f"{place}:{escaped(password)}", *others]) + "\n"


def escaped(part: str) -> str:
    """A field of the file: colons and backslashes have a backslash before them."""
    return part.replace("\\", "\\\\").replace(":", "\\:")


def write(path: Path, text: str) -> None:
    """Replace the file as a whole, readable by its owner alone at every moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = path.stat() if path.exists() else None
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        if owner and os.geteuid() == 0:
            os.chown(name, owner.st_uid, owner.st_gid)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

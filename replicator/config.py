"""The replicator's own settings: where its catalog is, where it may write on this machine.

A TOML file, found by `--config`, then `PGHERD_CONFIG`, then `./replicator.toml`, then the user's or the system's
configuration folder. Passwords are not in it: libpq reads them from the password file that it names.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from replicator.errors import ConfigError
from replicator.model import NAME, Install

DURATION = re.compile(r"(\d{1,6})([smhd])")
SIZE = re.compile(r"(\d{1,6}) ?(kB|MB|GB|TB)")
UNIT = re.compile(r"[A-Za-z0-9:_.@-]+")


@dataclass(frozen=True, kw_only=True)
class Config:
    """path: the file that it came from. catalog: libpq parameters. passfile: in libpq's .pgpass format, mode 0600.

    unit: the service of systemd that runs the daemon; empty: the daemon goes into the background by itself.
    function_timeout: seconds that a function may take to decide a conflict.
    warn_behind, warn_kept: warn of a target for which changes are kept that are older, or that fill more bytes.
    keepalives: libpq's parameters of that name, where they are not to be our own; they never come from the file.
    """

    path: Path | None = None
    install: Install = field(default_factory=Install)
    catalog: Mapping[str, str] = field(default_factory=dict)
    passfile: Path | None = None
    run_dir: Path = Path("/run/pgherd")
    log_file: Path = Path("/var/log/pgherd/replicator.log")
    unit: str = ""
    function_timeout: float = 5.0
    warn_behind: timedelta = timedelta(days=1)
    warn_kept: int = 10 * 1024**3
    keepalives: Mapping[str, str] = field(default_factory=dict)


def search_path() -> list[Path]:
    """Where a configuration is looked for when none is named, in order."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [Path("replicator.toml"), home / "pgherd" / "replicator.toml", Path("/etc/pgherd/replicator.toml")]


def find(named: Path | None = None) -> Path:
    """The configuration file to use. Raises ConfigError when there is none."""
    if named is None and os.environ.get("PGHERD_CONFIG"):
        named = Path(os.environ["PGHERD_CONFIG"])
    if named is not None:
        if not named.is_file():
            raise ConfigError(f"{named}: there is no such configuration file.")
        return named
    for path in search_path():
        if path.is_file():
            return path
    places = ", ".join(str(path) for path in search_path())
    raise ConfigError(
        f"no configuration was found (looked for {places}).",
        hint="Name one with --config, or run `provision deploy` first, which writes it.",
    )


def load(path: Path) -> Config:
    """Read a configuration. Raises ConfigError naming the file and the key."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    unknown = data.keys() - {
        "install",
        "catalog",
        "passfile",
        "run_dir",
        "log_file",
        "unit",
        "function_timeout",
        "warn_behind",
        "warn_kept",
    }
    if unknown:
        raise ConfigError(f"{path}: unknown setting {sorted(unknown)[0]!r}.")
    return Config(
        path=path.resolve(),
        install=_install(path, data.get("install", "pgherd")),
        catalog=_catalog(path, data.get("catalog")),
        passfile=_path(path, data, "passfile"),
        run_dir=_path(path, data, "run_dir") or Config.run_dir,
        log_file=_path(path, data, "log_file") or Config.log_file,
        unit=_unit(path, data.get("unit", "")),
        function_timeout=_seconds(path, data.get("function_timeout", Config.function_timeout)),
        warn_behind=_duration(path, data.get("warn_behind", "1d")),
        warn_kept=_bytes(path, data.get("warn_kept", "10GB")),
    )


def _duration(path: Path, text: object) -> timedelta:
    found = DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise ConfigError(f"{path}: warn_behind: {text!r} is not a duration such as 30m, 12h or 1d.")
    return timedelta(seconds=int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]])


def _bytes(path: Path, text: object) -> int:
    try:
        return size_of(str(text))
    except ValueError as error:
        raise ConfigError(f"{path}: warn_kept: {error}") from error


def size_of(text: str) -> int:
    """A size such as 500MB, in bytes. Raises ValueError."""
    found = SIZE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a size such as 500MB or 10GB.")
    powers = {"kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
    return int(found[1]) * powers[found[2]]


def _install(path: Path, name: object) -> Install:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"{path}: install: {name!r} is not a name (a letter, then letters, digits, underscores).")
    return Install(name)


def _unit(path: Path, name: object) -> str:
    if not isinstance(name, str) or (name and not UNIT.fullmatch(name)):
        raise ConfigError(f"{path}: unit: {name!r} is not the name of a service.")
    return name


def _seconds(path: Path, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.001 <= value <= 3600:
        raise ConfigError(f"{path}: function_timeout: {value!r} is not a number of seconds between 0.001 and 3600.")
    return float(value)


def _catalog(path: Path, table: object) -> dict[str, str]:
    if not isinstance(table, dict) or "dbname" not in table:
        raise ConfigError(f"{path}: [catalog] must give at least dbname (and host, port, user).")
    if "password" in table:
        raise ConfigError(f"{path}: [catalog] holds a password; put it into the file that passfile names.")
    return {str(key): str(value) for key, value in table.items()}


def _path(path: Path, data: Mapping[str, object], key: str) -> Path | None:
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{path}: {key} must be a path.")
    return (path.parent / value).resolve()

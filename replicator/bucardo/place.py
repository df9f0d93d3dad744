"""Where an install of `bucardo_ctl` keeps its configuration, and which one a command line means.

The file is that of `replicator`, so both programs see one catalog and one daemon. Options and `.bucardorc` may name
another catalog (`dbname`, `dbhost`, `dbport`, `dbuser`); then the file that has this catalog is used, and one is made
where there is none. A password (`dbpass`) goes into the password file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from replicator import config
from replicator.cli import passwords
from replicator.config import Config
from replicator.errors import ConfigError
from replicator.habits import SETTINGS
from replicator.model import Database, Install
from replicator.postgres import Connector, fetch_one, translated

NAME = "bucardo"
"""The database of the catalog, and the role that owns it, unless told otherwise."""

OPTIONS = {"dbname": "dbname", "dbhost": "host", "dbport": "port", "dbuser": "user"}


def folder() -> Path:
    """The user's folder of configurations."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pgherd"


def catalog_of(given: Mapping[str, str]) -> dict[str, str]:
    """libpq's parameters for the catalog that options name."""
    named = {key: given[option] for option, key in OPTIONS.items() if given.get(option)}
    return {"dbname": NAME, "user": NAME, **named}


def resolve(given: Mapping[str, str]) -> Config:
    """The configuration that a command line means. Raises ConfigError, Unreachable and Refused."""
    named = any(given.get(option) for option in OPTIONS)
    if not named and (found := _first()):
        return found
    catalog = catalog_of(given)
    passfile = remember_password(catalog, given.get("dbpass"))
    for path in filter(Path.is_file, [*config.search_path(), *sorted(folder().glob("*.toml"))]):
        settings = config.load(path)
        if {**settings.catalog, **catalog} == dict(settings.catalog):
            return settings
    return _derived(catalog, passfile)


def _first() -> Config | None:
    if not os.environ.get("PGHERD_CONFIG") and not any(path.is_file() for path in config.search_path()):
        return None
    return config.load(config.find())


def _derived(catalog: Mapping[str, str], passfile: Path | None) -> Config:
    """The configuration of an install that was made from elsewhere: its name is asked of the catalog."""
    connector = Connector(Config(catalog=catalog, passfile=passfile))
    with connector.open_catalog("ctl", autocommit=True) as connection, translated("the catalog"):
        if not fetch_one(connection, "select to_regclass('catalog.bucardo_config') is not null")[0]:
            raise ConfigError(
                f"database {connection.info.dbname} holds no Bucardo yet.", hint="Run `bucardo_ctl install` first."
            )
        name = str(fetch_one(connection, "select name from catalog.install")[0])
        found = connection.execute("select value from catalog.bucardo_config where setting = 'piddir'").fetchone()
    piddir = Path(str(found[0])) if found else Path(SETTINGS["piddir"].default)
    return save(Install(name), catalog, piddir, passfile)


def save(install: Install, catalog: Mapping[str, str], piddir: Path, passfile: Path | None) -> Config:
    """Write a configuration, where no other install's is, and read it back. Raises ConfigError."""
    path = _free(install)
    lines = ["# Made by bucardo_ctl.", f"install = {_quoted(install.name)}"]
    lines += [f"run_dir = {_quoted(str(piddir))}", f"log_file = {_quoted(str(piddir / 'log.bucardo'))}"]
    lines += [f"passfile = {_quoted(str(passfile or folder() / 'passwords'))}", "", "[catalog]"]
    lines += [f"{key} = {_quoted(value)}" for key, value in catalog.items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.") from error
    return config.load(path)


def _free(install: Install) -> Path:
    named = os.environ.get("PGHERD_CONFIG")
    first = Path(named) if named else folder() / "replicator.toml"
    if not first.exists():
        return first
    try:
        ours = tomllib.loads(first.read_text()).get("install") == install.name
    except (OSError, ValueError):
        ours = False
    return first if ours else first.with_name(f"{install.name}.toml")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def remember_password(catalog: Mapping[str, str], password: str | None) -> Path | None:
    """Put the catalog's password into the password file; that file, None where there is none."""
    path = folder() / "passwords"
    if password:
        place = Database(
            name="catalog",
            dbname=catalog["dbname"],
            host=catalog.get("host", ""),
            port=int(catalog.get("port", "5432")),
            user=catalog["user"],
        )
        before = path.read_text() if path.exists() else ""
        if (after := passwords.with_entry(before, place, password)) != before:
            passwords.write(path, after)
    return path if path.exists() else None

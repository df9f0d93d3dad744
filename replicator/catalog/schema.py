"""Creates the catalog's schema, brings an old one up to date, and says when one cannot be used.

A fresh catalog is made from `sql/catalog/schema.sql`, an old one goes through the migrations that it lacks; a test
proves that both ends are the same.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import LiteralString

from replicator import sql
from replicator.config import Config
from replicator.errors import ConfigError
from replicator.postgres import Connection, fetch_one

Migration = tuple[int, str, LiteralString]
"""Number, name, statements."""


def migrations() -> list[Migration]:
    """All migrations, in order."""
    found = []
    for path in sql.names("catalog/migrations"):
        number, _, name = PurePosixPath(path).stem.partition("_")
        found.append((int(number), name, sql.text(path)))
    return found


def version(connection: Connection) -> int:
    """The version of a catalog's schema; 0 when there is none."""
    if not fetch_one(connection, "select to_regclass('catalog.migration') is not null")[0]:
        return 0
    return int(fetch_one(connection, "select coalesce(max(version), 0) from catalog.migration")[0])


def check(connection: Connection, config: Config) -> None:
    """Raise ConfigError, with what to do, unless the catalog is this install's and of this program's version."""
    have, want = version(connection), migrations()[-1][0]
    if have == 0:
        raise ConfigError("the catalog's database holds no catalog yet.", hint="Create it: `replicator init`.")
    if have < want:
        raise ConfigError(
            f"the catalog's schema is of version {have}, this program needs {want}.",
            hint="Stop the daemon, then run `replicator init`.",
        )
    check_owner(connection, config)


def check_owner(connection: Connection, config: Config) -> None:
    """Raise ConfigError if the catalog is of a later program, or of another install."""
    have, want = version(connection), migrations()[-1][0]
    if have > want:
        raise ConfigError(
            f"the catalog's schema is of version {have}, this program knows versions up to {want}.",
            hint="Upgrade pgherd on this machine.",
        )
    row = connection.execute("select name from catalog.install").fetchone()
    if row and row[0] != config.install.name:
        raise ConfigError(
            f"the catalog belongs to install {row[0]!r}, but the configuration says {config.install.name!r}.",
            hint=f"Correct install or [catalog] in {config.path or 'the configuration'}.",
        )


def converge(connection: Connection, config: Config) -> bool:
    """Create or migrate the schema in one transaction; whether anything changed. Raises ConfigError."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [config.install.lock_key("migrate")])
        have = version(connection)
        if have == 0:
            _create(connection, config)
            return True
        check_owner(connection, config)
        missing = [migration for migration in migrations() if migration[0] > have]
        for migration in missing:
            connection.execute(migration[2])
            _note(connection, migration)
        if missing:
            connection.execute(sql.text("catalog/history.sql"))
        return bool(missing)


def _create(connection: Connection, config: Config) -> None:
    if fetch_one(connection, "select to_regnamespace('catalog') is not null")[0]:
        raise ConfigError(
            f"database {connection.info.dbname} has a schema named catalog that is not pgherd's.",
            hint="Give the catalog a database of its own.",
        )
    connection.execute(sql.text("catalog/schema.sql"))
    connection.execute(sql.text("catalog/history.sql"))
    for migration in migrations():
        _note(connection, migration)
    connection.execute("insert into catalog.install (name) values (%s)", [config.install.name])


def _note(connection: Connection, migration: Migration) -> None:
    connection.execute("insert into catalog.migration (version, name) values (%s, %s)", migration[:2])

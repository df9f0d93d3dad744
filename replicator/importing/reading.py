"""Reads what a Bucardo database declares, as rows of its own tables. Passwords and code are never asked for.

The tables of 4 and 5 differ, and so do those of their releases: a table's columns are looked up first. The server may
be older than those that the replicator works with (Bucardo 4 is often on 8.4), so only what those know is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import conninfo, sql
from psycopg.rows import DictRow, dict_row

from replicator.errors import ConfigError, NotFound
from replicator.postgres import TIMEOUTS, connect_error, translated

Row = Mapping[str, Any]
Rows = tuple[Row, ...]

DEFAULTS = {"dbname": "bucardo", "user": "bucardo"}
"""What Bucardo's own programs connect with."""

SECRET = {"db": ("dbpass",), "customcode": ("src_code",)}
"""Columns that are not read."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Former:
    """A Bucardo's configuration: rows by their tables' columns. version: 4 or 5.

    Never shown: a database's further parameters (dbconn) may hold anything.

    relations: goats. settings: by name, those that are not as they were delivered; None stands for a secret.
    """

    version: int
    dbs: Rows = ()
    dbmap: Rows = ()
    relations: Rows = ()
    herds: Rows = ()
    herdmap: Rows = ()
    syncs: Rows = ()
    codes: Rows = ()
    codemap: Rows = ()
    customnames: Rows = ()
    customcols: Rows = ()
    triggers: Rows = ()
    settings: Mapping[str, str | None]


def read(dsn: str) -> Former:
    """Read the configuration at a DSN, in one snapshot.

    Raises ConfigError for a DSN that cannot be read, NotFound where there is no Bucardo, Unreachable, Refused.
    """
    params = _parameters(dsn)
    name = f"database {params['dbname']} at {params.get('host') or 'the local socket'}"
    with _connected(params, name) as connection, translated(name):
        columns = _columns(connection, "sync")
        if not columns:
            raise NotFound(f"{name} holds no Bucardo: there is no table bucardo.sync.", hint="Name Bucardo's own.")
        return Former(
            version=4 if "synctype" in columns else 5,
            dbs=_rows(connection, "db", "coalesce(dbpass, '') <> '' as has_password"),
            dbmap=_rows(connection, "dbmap"),
            relations=_rows(connection, "goat"),
            herds=_rows(connection, "herd"),
            herdmap=_rows(connection, "herdmap"),
            syncs=_rows(connection, "sync"),
            codes=_rows(connection, "customcode"),
            codemap=_rows(connection, "customcode_map"),
            customnames=_rows(connection, "customname"),
            customcols=_rows(connection, "customcols"),
            triggers=_rows(connection, "bucardo_custom_trigger"),
            settings=_settings(connection),
        )


def _parameters(dsn: str) -> dict[str, str]:
    try:
        given = conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        # Not what libpq says: it quotes the DSN, and a password may be in it.
        raise ConfigError(
            "the DSN cannot be read.",
            hint="Expected 'host=HOST dbname=bucardo user=bucardo' or postgresql://bucardo@HOST/bucardo.",
        ) from None
    return {**DEFAULTS, **{key: str(value) for key, value in given.items() if value is not None}}


@contextmanager
def _connected(params: Mapping[str, str], name: str) -> Iterator[psycopg.Connection[DictRow]]:
    settings = {**TIMEOUTS, "application_name": "pgherd import", **params}
    try:
        connection = psycopg.connect(**settings, row_factory=dict_row)  # type: ignore[arg-type]
    except psycopg.OperationalError as error:
        raise connect_error(error, name) from error
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"{name}: the DSN has an option that cannot be.", hint="Correct it.") from error
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.prepare_threshold = None
        with translated(name):
            connection.execute("set intervalstyle = 'postgres'")
        yield connection


def _columns(connection: psycopg.Connection[DictRow], table: str) -> list[str]:
    rows = connection.execute(
        "select a.attname from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid"
        " join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'bucardo' and c.relname = %s and a.attnum > 0 and not a.attisdropped order by a.attnum",
        [table],
    )
    return [str(row["attname"]) for row in rows]


def _rows(connection: psycopg.Connection[DictRow], table: str, more: LiteralString = "") -> Rows:
    """A table's rows without its secrets; none where this release has no such table. more: an expression besides."""
    names = [name for name in _columns(connection, table) if name not in SECRET.get(table, ())]
    if not names:
        return ()
    wanted: list[sql.Composable] = [sql.Identifier(name) for name in names]
    wanted += [sql.SQL(more)] if more else []
    query = sql.SQL("select {} from bucardo.{}").format(sql.SQL(", ").join(wanted), sql.Identifier(table))
    found = connection.execute(query).fetchall()
    return tuple(sorted(found, key=lambda row: str(row.get("name", row.get("id", "")))))


def _settings(connection: psycopg.Connection[DictRow]) -> dict[str, str | None]:
    columns = _columns(connection, "bucardo_config")
    if not columns:
        return {}
    conditions = [sql.SQL("name not like 'bucardo%version'")]
    conditions += [sql.SQL("item is null")] if "item" in columns else []  # else it is of a single sync
    conditions += [sql.SQL("setting is distinct from defval")] if "defval" in columns else []
    query = sql.SQL(
        "select name, case when lower(name) like '%pass%' then null else setting end as setting"
        " from bucardo.bucardo_config where {} order by 1"
    ).format(sql.SQL(" and ").join(conditions))
    return {row["name"]: row["setting"] for row in connection.execute(query)}

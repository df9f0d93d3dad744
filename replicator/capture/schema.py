"""Makes the schema that an install has on each of its nodes, brings an old one up to date, and drops it.

Its tables are in `sql/node`. What is logged into them, and by which triggers, is `setup`'s.
"""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath

from psycopg import sql

from replicator import postgres
from replicator.capture import housekeeping
from replicator.model import Install
from replicator.postgres import Connection
from replicator.sql import names, text


def create_schema(connection: Connection, install: Install) -> None:
    """Make the install's schema on a node, as a source or as a target, or bring an old one up to date."""
    if has_schema(connection, install):
        postgres.patiently(partial(_upgrade, connection, install))
        return
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [install.lock_key("schema")])
        if not has_schema(connection, install):
            connection.execute(
                sql.SQL(text("node/schema.sql")).format(
                    schema=sql.Identifier(install.schema), sequence=sql.Literal(f'"{install.schema}".seq')
                )
            )
            housekeeping.create(connection, install)


def _upgrade(connection: Connection, install: Install) -> None:
    """Run what an older program's schema lacks, in one transaction. `setup.ensure` brings its logs up to date."""
    schema = sql.Identifier(install.schema)
    version = sql.SQL("select version from {}.node").format(schema)
    steps = {int(PurePosixPath(path).stem[:4]): path for path in names("node/upgrades")}
    if postgres.fetch_one(connection, version)[0] >= max(steps):
        return
    with postgres.translated(f"schema {install.schema}"), connection.transaction():
        postgres.give_way(connection)
        connection.execute("select pg_advisory_xact_lock(%s)", [install.lock_key("schema")])
        has = postgres.fetch_one(connection, version)[0]
        for number, path in steps.items():
            if number > has:
                connection.execute(sql.SQL(text(path)).format(schema=schema))
        housekeeping.create(connection, install)


def has_schema(connection: Connection, install: Install) -> bool:
    """Whether the install's schema is on a node."""
    # Not to_regclass: it may answer from a cache that knows nothing of the transaction which held the lock before.
    query = (
        "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = %s and c.relname = 'node')"
    )
    return bool(postgres.fetch_one(connection, query, [install.schema])[0])


def drop_schema_if_empty(connection: Connection, install: Install) -> None:
    """Drop the install's schema, unless a log, or how far a source has been followed, is in it."""
    schema = sql.Identifier(install.schema)
    in_use = sql.SQL(
        "select exists (select from {0}.captured) or exists (select from {0}.progress)"
        " or exists (select from {0}.progress_table)"
    ).format(schema)
    if not postgres.fetch_one(connection, in_use)[0]:
        with connection.transaction():
            connection.execute(sql.SQL("drop schema {} cascade").format(schema))
            housekeeping.drop_front(connection)

"""The replication slot and the publication by which an install decodes a database, and the tables in it.

The publication is there before the slot, for what is decoded is looked up as it was when it was written. Once a table
is published the server refuses to update or delete its rows unless they can be told apart in the WAL, so only tables
whose REPLICA IDENTITY has the key are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from replicator.errors import SchemaMismatch
from replicator.model import Install
from replicator.postgres import Connection, fetch_one
from replicator.relations import Relation, identifier, name_of

LOCK = "decoding"
"""The part of an advisory lock's name (`Install.lock_key`): who holds it, on a node, may use the slot."""

LONGEST = 40
"""Characters of an install's schema in a slot's name, which has letters of one case only, and 63 at the most."""

KEEPS_LIMIT = 130000
"""Since then a slot may fall so far behind that it is given up."""

PARAMETERS_SINCE = 150000
"""Since then a role may be granted to set what else only superusers may."""

IDENTITY = """
select c.relreplident, array(
    select a.attname::text from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
    where i.indrelid = c.oid and case c.relreplident when 'd' then i.indisprimary and i.indimmediate
                                     when 'i' then i.indisreplident end)
from pg_class c where c.oid = %s
"""


def name(connection: Connection, install: Install) -> str:
    """The slot's name, which begins as the install's schema: of this database too, for slots are the server's."""
    own = install.schema.lower()
    if own != install.schema or len(own) > LONGEST:
        own = f"{own[:LONGEST]}_{hashlib.sha256(install.name.encode()).hexdigest()[:8]}"
    oid = fetch_one(connection, "select oid::bigint from pg_database where datname = current_database()")[0]
    return f"{own}_{oid}"


def publication(install: Install) -> str:
    """The publication's name."""
    return install.schema


@contextmanager
def locked(connection: Connection, install: Install) -> Iterator[None]:
    """Have the slot to oneself. The connection is in autocommit, at least when it begins.

    A connection that broke has let go of it.
    """
    key = install.lock_key(LOCK)
    connection.execute("select pg_advisory_lock(%s)", [key])
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("select pg_advisory_unlock(%s)", [key])


def usable(connection: Connection, install: Install) -> bool:
    """Whether both are there, and the server has not given the slot up."""
    if not _exists(connection, "select from pg_publication where pubname = %s", publication(install)):
        return False
    lost = "s.restart_lsn is null"
    if connection.info.server_version >= KEEPS_LIMIT:
        lost = "coalesce(s.wal_status, '') in ('', 'lost')"
    query = sql.SQL(
        "select from pg_replication_slots s where s.slot_name = %s and s.plugin = 'pgoutput'"
        " and s.database = current_database() and not ({})"
    ).format(sql.SQL(lost))
    return _exists(connection, query, name(connection, install))


def create(connection: Connection, install: Install) -> None:
    """Make both, in place of a slot that cannot be read from; with the slot locked, in autocommit.

    It waits for the transactions that have begun to end.
    """
    if not _exists(connection, "select from pg_publication where pubname = %s", publication(install)):
        connection.execute(sql.SQL("create publication {}").format(sql.Identifier(publication(install))))
    _drop_slot(connection, name(connection, install))
    connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [name(connection, install)])


def exists(connection: Connection, install: Install) -> bool:
    """Whether there is one of the two."""
    query = (
        "select where exists (select from pg_publication where pubname = %s)"
        " or exists (select from pg_replication_slots where slot_name = %s)"
    )
    return _exists(connection, query, publication(install), name(connection, install))


def drop(connection: Connection, install: Install) -> None:
    """Drop both. The connection is in autocommit."""
    with locked(connection, install):
        _drop_slot(connection, name(connection, install))
        connection.execute(sql.SQL("drop publication if exists {}").format(sql.Identifier(publication(install))))


def _drop_slot(connection: Connection, slot: str) -> None:
    connection.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", [slot]
    )


def quiet(connection: Connection) -> sql.SQL:
    """A row `quiet (word)`; before it comes, the server has been told to log nothing of this transaction.

    It would log each time that it begins to decode. Where the role may not tell it so, the row alone.
    """
    may = "select rolsuper from pg_roles where rolname = current_user"
    if connection.info.server_version >= PARAMETERS_SINCE:
        may = "select has_parameter_privilege('log_min_messages', 'set')"
    if fetch_one(connection, may)[0]:
        return sql.SQL("(select set_config('log_min_messages', 'fatal', true) offset 0) quiet (word)")
    return sql.SQL("(select '' offset 0) quiet (word)")


def publish(connection: Connection, install: Install, relation: Relation) -> None:
    """Have a table's changes decoded from here on: its writers have ended. In a transaction that gives way.

    Raises SchemaMismatch where rows could not be told apart in the WAL.
    """
    check_identity(connection, relation)
    connection.execute(sql.SQL("lock table only {} in share row exclusive mode").format(identifier(relation.name)))
    if not published(connection, install, relation.oid):
        connection.execute(
            sql.SQL("alter publication {} add table only {}").format(
                sql.Identifier(publication(install)), identifier(relation.name)
            )
        )


def published(connection: Connection, install: Install, relid: int) -> bool:
    """Whether a table is in the publication."""
    query = (
        "select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid"
        " where p.pubname = %s and r.prrelid = %s"
    )
    return _exists(connection, query, publication(install), relid)


def withdraw(connection: Connection, install: Install, relid: int) -> None:
    """Take a table out of the publication, whatever it is called by now."""
    table = name_of(connection, relid)
    if table and published(connection, install, relid):
        connection.execute(
            sql.SQL("alter publication {} drop table only {}").format(
                sql.Identifier(publication(install)), identifier(table)
            )
        )


def check_identity(connection: Connection, relation: Relation) -> None:
    """Raise SchemaMismatch unless the WAL has the key of each row that is changed or deleted, and tells of each change.

    A TRUNCATE of a partition would be told neither of the partition nor of the whole.
    """
    if relation.partitioned:
        raise SchemaMismatch(
            f"{relation.name} is partitioned, so its changes cannot be taken from the WAL.",
            hint="Capture the database by triggers.",
        )
    how, columns = fetch_one(connection, IDENTITY, [relation.oid])
    if how != "f" and not (relation.key and set(relation.key) <= set(columns)):
        raise SchemaMismatch(
            f"{relation.name}: its replica identity has not the columns of its key ({', '.join(relation.key)}), so its"
            " changes cannot be taken from the WAL.",
            hint="`alter table ... replica identity using index ...`, or capture by triggers.",
        )


def _exists(connection: Connection, query: sql.SQL | sql.Composed | str, *values: object) -> bool:
    return connection.execute(query, values).fetchone() is not None

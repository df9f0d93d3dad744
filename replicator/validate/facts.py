"""What validation has to know of one database, read in one connection. Judging it is `judge`'s."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from replicator import relations
from replicator.apply.probing import sql_fault
from replicator.model import Capture, Database, TableName
from replicator.postgres import Connection, Connector, fetch_one, translated
from replicator.relations import Relation
from replicator.validate.decoding import Decoding, decoding

IDENTITY = """
select s.system_identifier, d.oid::bigint from pg_control_system() s, pg_database d
where d.datname = current_database()
"""

SERVER = """
select pg_is_in_recovery(), current_user::text,
       has_database_privilege(d.oid, 'TEMPORARY'),
       case when n.oid is null then has_database_privilege(d.oid, 'CREATE')
            else has_schema_privilege(n.oid, 'USAGE, CREATE') and pg_has_role(n.nspowner, 'USAGE') end
from pg_database d left join pg_namespace n on n.nspname = %s
where d.datname = current_database()
"""

RIGHTS = """
select n.nspname, c.relname, pg_has_role(c.relowner, 'USAGE'), row_security_active(c.oid),
       array(select p from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
             where has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, p))
from unnest(%s::text[], %s::text[]) w (nspname, relname)
join pg_namespace n on n.nspname = w.nspname
join pg_class c on c.relnamespace = n.oid and c.relname = w.relname
where c.relkind in ('r', 'p', 'S')
"""


@dataclass(frozen=True)
class Rights:
    """What the role may do with a table or sequence. hidden: row security keeps rows from it."""

    owns: bool = False
    hidden: bool = False
    may: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One database as the replicator's role finds it.

    identity: the same for two nicknames of one physical database. impersonates: the role can set
    session_replication_role. creates, stages: it can keep the install's schema, and temporary tables. functions: why
    each cannot decide conflicts here, empty where it can. decoding: of its WAL, where that is to be, on a server that
    can.
    """

    database: Database
    role: str
    version: int
    identity: tuple[int, int]
    standby: bool
    impersonates: bool
    creates: bool
    stages: bool
    relations: Mapping[TableName, Relation] = field(default_factory=dict)
    rights: Mapping[TableName, Rights] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    decoding: Decoding | None = None


def gather(
    connector: Connector, database: Database, names: Sequence[TableName], functions: Collection[str] = ()
) -> Facts:
    """Look at a database and those tables, sequences and functions in it.

    Raises Unreachable, Refused, UnsupportedServer.
    """
    with connector.open(database, "validate", autocommit=True) as connection, translated(str(database)):
        schema = connector.config.install.schema
        wal = database.capture is Capture.WAL
        standby, role, stages, creates = fetch_one(connection, SERVER, [schema])
        return Facts(
            database=database,
            role=role,
            version=connection.info.server_version,
            identity=identity(connection),
            standby=standby,
            impersonates=standby or _impersonates(connection),
            creates=creates,
            stages=stages,
            relations=relations.describe(connection, names),
            rights=_rights(connection, names),
            functions={name: sql_fault(connection, name) for name in functions},
            decoding=decoding(connection, schema, names) if wal else None,
        )


def identity(connection: Connection) -> tuple[int, int]:
    """What tells a physical database from all others."""
    system, oid = fetch_one(connection, IDENTITY)
    return system, oid


def _impersonates(connection: Connection) -> bool:
    # Asking is surer than reading privileges: a superuser may, from 15 on so may whom it was granted to, and hosting
    # services have roles of their own for it.
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set local session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _rights(connection: Connection, names: Sequence[TableName]) -> dict[TableName, Rights]:
    values = [[name.schema for name in names], [name.name for name in names]]
    return {
        TableName(schema, name): Rights(owns, hidden, frozenset(may))
        for schema, name, owns, hidden, may in connection.execute(RIGHTS, values)
    }

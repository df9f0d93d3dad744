"""The logs that a node keeps, as its table `captured` has them. They are made in `making`, dropped in `dropping`."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from replicator.capture.needs import Kind
from replicator.model import Install, TableName
from replicator.postgres import Connection


@dataclass(frozen=True)
class Captured:
    """One log on one node. key: column names as logged in k1, k2 ...; empty for a touch log.

    purged: rows of transactions below this id are gone. counters: columns of which it holds by how much they changed.
    whole_from: all that was made of the table after this transaction is in it, where it `notes` what arrives.
    decoded: it is fed from the WAL.
    """

    table: TableName
    kind: Kind
    id: UUID
    relid: int
    log: str
    key: tuple[str, ...]
    types: tuple[str, ...]
    versions: bool
    purged: int = 0
    counters: tuple[str, ...] = ()
    whole_from: int = 0
    notes: bool = True
    decoded: bool = False


def logs(connection: Connection, install: Install) -> dict[tuple[TableName, Kind], Captured]:
    """The logs that the node keeps for this install."""
    query = sql.SQL(
        "select schema_name, table_name, kind, id, relid, log_name, key_columns, key_types, versions, purged,"
        " counters, whole_from, notes, decoded from {}.captured"
    ).format(sql.Identifier(install.schema))
    found = {}
    for schema, name, kind, id_, relid, log_name, key, types, versions, purged, counters, *rest in connection.execute(
        query
    ):
        table = TableName(schema, name)
        found[table, Kind(kind)] = Captured(
            table,
            Kind(kind),
            id_,
            int(relid),
            log_name,
            tuple(key),
            tuple(types),
            versions,
            purged,
            tuple(counters),
            *rest,
        )
    return found


def shapes(connection: Connection, install: Install) -> dict[str, int]:
    """The shapes of the node's logs, by their names."""
    query = sql.SQL("select log_name, shape from {}.captured").format(sql.Identifier(install.schema))
    return dict(connection.execute(query))

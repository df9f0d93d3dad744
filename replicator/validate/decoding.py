"""What validation has to know of a database whose changes are to be decoded from its WAL. Judging it is `published`'s.

Before PostgreSQL 11 a TRUNCATE is not decoded, so older servers are not asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicator.model import TableName
from replicator.postgres import Connection, fetch_one

FIRST_VERSION = 110000

# An install's slot is called after its schema. Slots' names are in lower case.
SERVER = """
select current_setting('wal_level'), getdatabaseencoding()::text, r.rolsuper or r.rolreplication,
       has_database_privilege(current_database(), 'CREATE'),
       current_setting('max_replication_slots')::int,
       (select count(*) from pg_replication_slots) < current_setting('max_replication_slots')::int
       or exists (select from pg_replication_slots s where s.database = current_database() and s.plugin = 'pgoutput'
                  and left(s.slot_name, length(w.schema)) = w.schema)
from pg_roles r cross join (select lower(%s::text) as schema) w where r.rolname = current_user
"""

# What the server itself takes as a replica identity: unique at once, for all rows, by columns.
TABLES = """
select n.nspname, c.relname, c.relpersistence::text, c.relreplident::text,
       array(select json_build_object('name', x.relname, 'columns', k.columns, 'strict', k.strict,
                                      'primary', i.indisprimary, 'chosen', i.indisreplident)
             from pg_index i
             join pg_class x on x.oid = i.indexrelid
             cross join lateral (
                 select array_agg(a.attname) as columns, bool_and(a.attnotnull) as strict
                 from unnest(i.indkey::int2[]) with ordinality u (attnum, ord)
                 join pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.attnum
                 where u.ord <= i.indnkeyatts) k
             where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid
               and i.indpred is null and i.indexprs is null
             order by i.indisprimary desc, i.indnkeyatts, i.indexrelid)
from unnest(%s::text[], %s::text[]) w (nspname, relname)
join pg_namespace n on n.nspname = w.nspname
join pg_class c on c.relnamespace = n.oid and c.relname = w.relname
where c.relkind = 'r'
"""


@dataclass(frozen=True, kw_only=True)
class Index:
    """A unique index that could be a replica identity. strict: its columns are NOT NULL. chosen: by USING INDEX."""

    name: str
    columns: frozenset[str]
    strict: bool
    primary: bool
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Published:
    """How a table is logged. persistence, identity: as in pg_class; indexes: that could identify its rows."""

    persistence: str = "p"
    identity: str = "d"
    indexes: tuple[Index, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the whole of a row that goes is logged."""
        return self.identity == "f"

    @property
    def identifying(self) -> frozenset[str]:
        """The columns of a row that goes which are logged, if it is not the whole of it."""
        for index in self.indexes:
            if (self.identity == "d" and index.primary) or (self.identity == "i" and index.chosen):
                return index.columns
        return frozenset()


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """encoding: the database's. replicates: the role may read slots; publishes: it may make publications.

    slots: as many as there may be. free: one more may be made, or the install has its own already. tables: the
    ordinary ones of those wanted.
    """

    level: str
    encoding: str
    replicates: bool
    publishes: bool
    slots: int
    free: bool
    tables: Mapping[TableName, Published] = field(default_factory=dict)


def decoding(connection: Connection, schema: str, names: Sequence[TableName]) -> Decoding | None:
    """Look at a server and those tables; None where it is too old to be asked. schema: the install's."""
    if connection.info.server_version < FIRST_VERSION:
        return None
    level, encoding, replicates, publishes, slots, free = fetch_one(connection, SERVER, [schema])
    rows = connection.execute(TABLES, [[name.schema for name in names], [name.name for name in names]])
    return Decoding(
        level=level,
        encoding=encoding,
        replicates=replicates,
        publishes=publishes,
        slots=slots,
        free=free,
        tables={
            TableName(place, name): Published(
                persistence=persistence, identity=identity, indexes=tuple(map(_index, indexes))
            )
            for place, name, persistence, identity, indexes in rows
        },
    )


def _index(row: Mapping[str, Any]) -> Index:
    return Index(**{**row, "columns": frozenset(row["columns"])})

"""What a table looks like on a server: columns, key, kind, partitions.

Read from the catalogs in one statement for all tables asked for, on every supported version. Two servers' tables are
compared in `differences`, judging (is this table fit for that sync?) is done in `validate`, moving rows in `capture`,
`apply` and `table_copy`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from replicator.model import TableName
from replicator.postgres import Answer, Connection

FIRST_USER_OID = 16384

COLUMNS = """
with recursive wanted as (
    select c.oid as relid, n.nspname, c.relname, c.relkind, c.relispartition, w.ord
    from unnest(%(schemas)s::text[], %(names)s::text[]) with ordinality w(nspname, relname, ord)
    join pg_namespace n on n.nspname = w.nspname
    join pg_class c on c.relnamespace = n.oid and c.relname = w.relname
), bases as (
    select t.oid, t.oid as base, t.typtype, t.typbasetype from pg_type t
    where t.oid in (select a.atttypid from pg_attribute a join wanted w on a.attrelid = w.relid)
    union all
    select b.oid, t.oid, t.typtype, t.typbasetype from bases b join pg_type t on t.oid = b.typbasetype
    where b.typtype = 'd'
)
select w.relid, w.nspname, w.relname, w.relkind, a.attname, a.attnum,
       format_type(a.atttypid, a.atttypmod) as type, format_type(t.oid, -1) as stage_type,
       a.attnotnull, a.attidentity, a.atthasdef, {generated} as generated,
       (t.typsend <> 0 and t.typreceive <> 0 and t.typname not like 'reg%%'
        and (t.typtype = 'e' or (t.oid < %(user)s and t.typelem < %(user)s))) as is_binary
from wanted w
left join pg_attribute a on a.attrelid = w.relid and a.attnum > 0 and not a.attisdropped
left join bases b on b.oid = a.atttypid and b.typtype <> 'd'
left join pg_type t on t.oid = b.base
order by w.ord, a.attnum
"""

KEYS = """
select i.indrelid as relid, i.indisprimary, i.indimmediate,
       array_agg(a.attname::text order by k.ord) as columns,
       array_agg(n.nspname::text order by k.ord) as operator_schemas,
       array_agg(o.oprname::text order by k.ord) as operators,
       bool_and(a.attnotnull) as strict
from pg_index i
cross join lateral unnest(i.indkey::int2[], i.indclass::oid[]) with ordinality k(attnum, class, ord)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
join pg_opclass c on c.oid = k.class
join pg_amop m on m.amopfamily = c.opcfamily and m.amopstrategy = 3
     and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype
join pg_operator o on o.oid = m.amopopr
join pg_namespace n on n.oid = o.oprnamespace
where i.indrelid = any(%s) and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
group by i.indexrelid, i.indrelid, i.indisprimary, i.indimmediate, i.indnatts
having count(*) = {natts}
order by i.indisprimary desc, count(*), i.indexrelid
"""

LEAVES = """
with recursive tree as (
    select inhparent as root, inhrelid as relid from pg_inherits where inhparent = any(%s)
    union all
    select t.root, i.inhrelid from tree t join pg_inherits i on i.inhparent = t.relid
)
select t.root, n.nspname, c.relname from tree t
join pg_class c on c.oid = t.relid join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' order by c.oid
"""

USER_RELATIONS = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = any(%s::"char"[]) and c.relpersistence = 'p' and not c.relispartition
  and n.nspname not in ('information_schema', 'pgherd') and n.nspname !~ '^(pg_|pgherd_)'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
                  and d.deptype = 'e')
order by c.oid
"""


@dataclass(frozen=True, kw_only=True)
class Column:
    """type: as declared, length and all. stage_type: what it rests on, without domain or length, for staging.

    binary: its binary form means the same on every server (user types may carry numbers that differ). number: its own
    on this server, for ever. default: whether it has one.
    """

    name: str
    type: str
    stage_type: str
    notnull: bool
    generated: bool
    identity: str
    binary: bool
    number: int = field(default=0, compare=False)
    default: bool = field(default=False, compare=False)

    @property
    def required(self) -> bool:
        """Whether a row cannot be inserted without a value for it."""
        return self.notnull and not (self.default or self.identity or self.generated)


@dataclass(frozen=True)
class Operator:
    """An equality operator, by schema: a search path that holds no user schema finds it all the same."""

    schema: str
    name: str

    def as_sql(self) -> sql.Composable:
        """`OPERATOR(schema.=)`. The name is punctuation by PostgreSQL's grammar, never a quoted identifier."""
        if set(self.name) - set("+-*/<>=~!@#%^&|`?"):
            raise ValueError(f"not an operator name: {self.name!r}")
        return sql.SQL("OPERATOR({}.{})").format(sql.Identifier(self.schema), sql.SQL(self.name))


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A table as one server has it.

    key: the columns by which rows are matched (primary key, else the narrowest unique index on NOT NULL columns);
    empty when there is none. equal: the key columns' equality operators. arbiters: the sets of columns that
    ON CONFLICT can name. leaves: the partitions that hold rows, for a partitioned table.
    """

    name: TableName
    oid: int
    kind: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    equal: tuple[Operator, ...] = ()
    arbiters: frozenset[frozenset[str]] = frozenset()
    candidates: frozenset[frozenset[str]] = frozenset()
    leaves: tuple[TableName, ...] = ()

    @property
    def partitioned(self) -> bool:
        """Whether rows live in partitions."""
        return self.kind == "p"

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns that a writer gives: all but the generated ones."""
        return tuple(column for column in self.columns if not column.generated)

    @property
    def binary(self) -> bool:
        """Whether COPY may use the binary format."""
        return all(column.binary for column in self.written)

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def identifier(self) -> sql.Identifier:
        """The table's quoted name."""
        return identifier(self.name)

    @property
    def rows(self) -> sql.Composed:
        """What to put after FROM to read all its rows and no heirs'."""
        only = sql.SQL("") if self.partitioned else sql.SQL("only ")
        return sql.SQL("{}{}").format(only, self.identifier)


def identifier(name: TableName) -> sql.Identifier:
    """The quoted form of a table's name."""
    return sql.Identifier(name.schema, name.name)


def name_of(connection: Connection, oid: int) -> TableName | None:
    """What the table of that oid is called by now; None where it is gone."""
    query = "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = %s"
    row = connection.execute(query, [oid]).fetchone()
    return TableName(*row) if row else None


def describe(connection: Connection, names: Sequence[TableName]) -> dict[TableName, Relation]:
    """The tables of those names; one that does not exist is left out."""
    if not names:
        return {}
    version = connection.info.server_version
    generated = "coalesce(a.attgenerated <> '', false)" if version >= 120000 else "false"
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            sql.SQL(COLUMNS).format(generated=sql.SQL(generated)),
            {"schemas": [n.schema for n in names], "names": [n.name for n in names], "user": FIRST_USER_OID},
        )
        rows = cursor.fetchall()
        oids = list({row["relid"] for row in rows})
        natts = "i.indnkeyatts" if version >= 110000 else "i.indnatts"
        cursor.execute(_keys_query(natts), [oids])
        keys = cursor.fetchall()
        cursor.execute(LEAVES, [oids])
        leaves = cursor.fetchall()
    tables: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        tables.setdefault(row["relid"], []).append(row)
    relations = (_relation(oid, columns, keys, leaves) for oid, columns in tables.items())
    return {relation.name: relation for relation in relations}


def _keys_query(natts: str) -> sql.Composed:
    # INCLUDE columns (11 and later) stand in indkey without an operator class: unnest pads them with nulls, the join
    # drops them, and the count is compared with the number of real key columns.
    query = KEYS.replace("i.indnatts", natts)
    return sql.SQL(query).format(natts=sql.SQL(natts))


def _relation(
    oid: int,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[Mapping[str, Any]],
    leaves: Sequence[Mapping[str, Any]],
) -> Relation:
    mine = [key for key in keys if key["relid"] == oid]
    usable = [key for key in mine if key["strict"]]
    best = usable[0] if usable else None
    return Relation(
        name=TableName(str(rows[0]["nspname"]), str(rows[0]["relname"])),
        oid=oid,
        kind=str(rows[0]["relkind"]),
        columns=tuple(_column(row) for row in rows if row["attname"] is not None),
        key=tuple(best["columns"]) if best else (),
        equal=tuple(_operators(best)) if best else (),
        arbiters=frozenset(frozenset(key["columns"]) for key in mine if key["indimmediate"]),
        candidates=frozenset(frozenset(key["columns"]) for key in usable),
        leaves=tuple(TableName(str(x["nspname"]), str(x["relname"])) for x in leaves if x["root"] == oid),
    )


def _operators(key: Mapping[str, Any]) -> Iterator[Operator]:
    schemas, names = key["operator_schemas"], key["operators"]
    for schema, name in zip(schemas, names, strict=True):
        yield Operator(str(schema), str(name))


def _column(row: Mapping[str, Any]) -> Column:
    return Column(
        name=str(row["attname"]),
        type=str(row["type"]),
        stage_type=str(row["stage_type"]),
        notnull=bool(row["attnotnull"]),
        generated=bool(row["generated"]),
        identity=str(row["attidentity"]).strip("\0"),
        binary=bool(row["is_binary"]),
        number=int(row["attnum"]),
        default=bool(row["atthasdef"]),
    )


def user_tables(connection: Connection) -> list[TableName]:
    """All tables that could be replicated, in the order in which they were created; partitions count as their root."""
    return _user_relations(connection, ["r", "p"])


def user_sequences(connection: Connection) -> list[TableName]:
    """All sequences that could be replicated, in the order in which they were created."""
    return _user_relations(connection, ["S"])


def _user_relations(connection: Connection, kinds: list[str]) -> list[TableName]:
    return [TableName(schema, name) for schema, name in connection.execute(USER_RELATIONS, [kinds])]


def restricted(relation: Relation, names: Collection[str]) -> Relation:
    """The table as if it had these columns only."""
    return replace(relation, columns=tuple(column for column in relation.columns if column.name in names))


def fingerprint(connection: Connection, names: Collection[TableName]) -> Answer[str]:
    """Changes whenever a definition of tables of those names changes that matters to rows, or a trigger on them."""
    query = fingerprint_query(connection.info.server_version, tuple(names))
    asked = connection.execute(query, prepare=True)  # planning takes longer
    return lambda: str(asked.fetchall()[0][0])


@lru_cache(maxsize=256)
def fingerprint_query(version: int, names: Sequence[TableName]) -> str:
    """The query of a fingerprint, for a server of that version (170002, say)."""
    query = sql.SQL(
        "with c as (select c.oid, n.nspname, c.relname, c.relkind from unnest({schemas}::text[], {names}::text[]) w"
        " (nspname, relname) join pg_namespace n on n.nspname = w.nspname"
        " join pg_class c on c.relnamespace = n.oid and c.relname = w.relname)"
        " select md5(concat((select string_agg(concat_ws(',', c.oid, c.nspname, c.relname, c.relkind, a.attname,"
        " a.attnum, a.atttypid, a.atttypmod, a.attnotnull, a.atthasdef, a.attidentity, {generated}, a.attisdropped),"
        " ';' order by c.oid, a.attnum) from c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0),"
        # A default that is changed is another one: it may name another sequence, whose numbers masters must share.
        " (select string_agg(d.oid::text, ';' order by d.oid) from c join pg_attrdef d on d.adrelid = c.oid),"
        " (select string_agg(concat_ws(',', i.indexrelid, i.indrelid, i.indkey, i.indisvalid, i.indisprimary), ';'"
        " order by i.indexrelid) from c join pg_index i on i.indrelid = c.oid and i.indisunique),"
        " (select string_agg(concat_ws(',', t.tgrelid, t.tgname, t.tgenabled), ';' order by t.oid)"
        " from c join pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal)))"
    )
    return query.format(
        generated=sql.SQL("a.attgenerated" if version >= 120000 else "''"),
        schemas=sql.Literal([name.schema for name in names]),
        names=sql.Literal([name.name for name in names]),
    ).as_string()

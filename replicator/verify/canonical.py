"""One text for equal values, whatever server prints them.

A row is compared through `row(...)::text`, PostgreSQL's own unambiguous form (it tells NULL from an empty string and
where a column ends), built by the types' output functions under the fixed settings of `postgres.SETTINGS`. A few types
print equal values differently: floating point numbers before and after version 12, geometry made of them, money (by
locale), and `"char"` (before and after 16). For those, and for arrays, composites and ranges that hold them, the text
is made from their binary form.

So values count as equal when they print equally: 0.0 and -0.0 differ, as do 1.0 and 1.00 of numeric, although SQL's
`=` calls them equal, because a reader of the two tables sees two things. NaNs are one, whatever bits make them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from replicator.postgres import Connection
from replicator.relations import Relation

SEND = {
    "point": "point_send",
    "lseg": "lseg_send",
    "line": "line_send",
    "box": "box_send",
    "path": "path_send",
    "polygon": "poly_send",
    "circle": "circle_send",
    "money": "cash_send",
    "char": "charsend",
}
FLOATS = {"float4": "float4send", "float8": "float8send"}

TYPES = """
with recursive types(oid) as (
    select a.atttypid from pg_attribute a where a.attrelid = %(relation)s and a.attnum > 0 and not a.attisdropped
    union
    select part.oid from types join pg_type t on t.oid = types.oid cross join lateral (
        select t.typbasetype where t.typtype = 'd'
        union all
        select t.typelem where t.typtype = 'b' and t.typcategory = 'A'
        union all
        select r.rngsubtype from pg_range r where r.rngtypid = t.oid
        union all
        select a.atttypid from pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ) part(oid)
)
select t.oid, t.typname, t.typnamespace = 'pg_catalog'::regnamespace as builtin, t.typtype,
       case when t.typtype = 'd' then t.typbasetype
            when t.typtype = 'b' and t.typcategory = 'A' then t.typelem
            else (select r.rngsubtype from pg_range r where r.rngtypid = t.oid) end as inner_type,
       (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) as field_names,
       (select array_agg(a.atttypid::bigint order by a.attnum) from pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) as field_types
from types join pg_type t on t.oid = types.oid
"""

COLUMN_TYPES = """
select attname::text, atttypid::bigint from pg_attribute
where attrelid = %s and attnum > 0 and not attisdropped order by attnum
"""


@dataclass(frozen=True)
class _Type:
    name: str
    builtin: bool
    kind: str
    inner: int
    fields: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Columns:
    """The columns of one table on one server, and how to print them. Read by `read`."""

    encoding: str
    _columns: Mapping[str, int]
    _types: Mapping[int, _Type]

    def text(self, name: str, value: sql.Composable) -> sql.Composable:
        """An expression that prints as every server prints the column's value; `value` is where it is found."""
        return self._print(self._columns[name], value, 0) or value

    def row(self, names: Iterable[str], values: Iterable[sql.Composable]) -> sql.Composed:
        """The text of several columns as one value of type text, never null."""
        parts = [self.text(name, value) for name, value in zip(names, values, strict=True)]
        return sql.SQL("row({})::text").format(sql.SQL(", ").join(parts))

    def bytes(self, text: sql.Composable) -> sql.Composed:
        """The text as bytes that do not depend on the database's encoding."""
        return sql.SQL("convert_to({}, {})").format(text, sql.Literal(self.encoding))

    def _print(self, oid: int, value: sql.Composable, depth: int) -> sql.Composable | None:
        """None where the type's own output will do."""
        of = self._types[oid]
        if of.builtin and of.name in FLOATS:
            pattern = "case when {v} = 'NaN' then 'NaN' else encode({f}({v}), 'hex') end"
            return sql.SQL(pattern).format(v=value, f=sql.SQL(FLOATS[of.name]))
        if of.builtin and of.name in SEND and of.kind == "b":
            return sql.SQL("encode({}({}), 'hex')").format(sql.SQL(SEND[of.name]), value)
        if of.kind == "c":
            return self._print_composite(of, value, depth)
        if not of.inner or self._print(of.inner, value, depth) is None:
            return None
        if of.kind == "d":
            return self._print(of.inner, value, depth)
        return self._print_range(of, value, depth) if of.kind == "r" else self._print_array(of, value, depth)

    def _print_composite(self, of: _Type, value: sql.Composable, depth: int) -> sql.Composable | None:
        fields = [(sql.SQL("({}).{}").format(value, sql.Identifier(name)), oid) for name, oid in of.fields]
        texts = [self._print(oid, field, depth) for field, oid in fields]
        if all(text is None for text in texts):
            return None
        parts = [text or field for text, (field, _) in zip(texts, fields, strict=True)]
        # "is null" is also true of a composite whose fields are all null; its text is not
        pattern = sql.SQL("case when {v}::text is not null then row({parts})::text end")
        return pattern.format(v=value, parts=sql.SQL(", ").join(parts))

    def _print_array(self, of: _Type, value: sql.Composable, depth: int) -> sql.Composable:
        element = sql.Identifier(f"e{depth}")
        pattern = sql.SQL(
            "case when {v} is not null then concat(array_dims({v}),"
            " (select array_agg({text})::text from (select unnest({v}) as {e}) s)) end"
        )
        return pattern.format(v=value, e=element, text=self._print(of.inner, element, depth + 1) or element)

    def _print_range(self, of: _Type, value: sql.Composable, depth: int) -> sql.Composable:
        bounds = [sql.SQL("{}({})").format(sql.SQL(end), value) for end in ("lower", "upper")]
        texts = [self._print(of.inner, bound, depth) or bound for bound in bounds]
        pattern = sql.SQL(
            "case when {v} is not null then row(isempty({v}), lower_inc({v}), upper_inc({v}), {texts})::text end"
        )
        return pattern.format(v=value, texts=sql.SQL(", ").join(texts))


def read(connection: Connection, relation: Relation) -> Columns:
    """How to print the columns of a table."""
    names = connection.execute(COLUMN_TYPES, [relation.oid]).fetchall()
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(TYPES, {"relation": relation.oid}).fetchall()
    encoding = connection.info.parameter_status("server_encoding") or "UTF8"
    return Columns(
        # a SQL_ASCII database does not know what its bytes mean: they are taken as they are
        encoding="SQL_ASCII" if encoding == "SQL_ASCII" else "UTF8",
        _columns={str(name): int(oid) for name, oid in names},
        _types={int(row["oid"]): _type(row) for row in rows},
    )


def _type(row: Mapping[str, Any]) -> _Type:
    fields: Sequence[tuple[str, int]] = tuple(
        zip(row["field_names"] or (), row["field_types"] or (), strict=True),
    )
    return _Type(
        name=str(row["typname"]),
        builtin=bool(row["builtin"]),
        kind=str(row["typtype"]),
        inner=int(row["inner_type"] or 0),
        fields=tuple(fields),
    )

"""Adds to a target's table the columns that its source has got (`ddl: newcol`).

With the source's type, collation, default and expression. NOT NULL only beside a default: without one the rows that
are there would have nothing to hold until they are filled in. What the target cannot make is said, and left to people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import psycopg
from psycopg import sql

from replicator import columns, postgres
from replicator.columns import Known
from replicator.errors import LockedOut
from replicator.model import Link, TableName
from replicator.postgres import Connection
from replicator.relations import Relation

Report = Callable[[str], None]

DEFINITIONS = """
select a.attname::text, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull,
       {generated}, case when a.attcollation <> t.typcollation then n.nspname::text end, c.collname::text
from pg_attribute a join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_collation c on c.oid = a.attcollation left join pg_namespace n on n.oid = c.collnamespace
where a.attrelid = %s and a.attname = any(%s) order by a.attnum
"""


def add_columns(
    source: Connection, target: Connection, link: Link, relation: Relation, names: Sequence[str], known: Known
) -> str:
    """Add the columns to the target's table, and note with it that their values are to be filled in.

    relation: the source's table. Returns why it could not be done; empty when it was.
    """
    try:
        wanted = _definitions(source, relation, names)
        filling = known.filling | {name for name in names if not relation.column(name).generated}
        noted = {relation.name: Known(common=known.common, filling=filling, note=known.note)}
        postgres.patiently(partial(_add, target, link, relation, wanted, noted), attempts=10)
    except LockedOut:
        return f"{relation.name} is locked on {link.target.name}"
    except psycopg.Error as error:
        return (error.diag.message_primary or str(error)).splitlines()[0]
    return ""


def _definitions(source: Connection, relation: Relation, names: Sequence[str]) -> list[sql.Composed]:
    generated = "a.attgenerated::text" if source.info.server_version >= 120000 else "''"
    query = sql.SQL(DEFINITIONS).format(generated=sql.SQL(generated))
    return [_definition(*row) for row in source.execute(query, [relation.oid, list(names)])]


def _definition(
    name: str, kind: str, expression: str | None, notnull: bool, generated: str, schema: str | None, collation: str
) -> sql.Composed:
    # Types and expressions come from the server's own printing of them, which quotes what needs it.
    parts: list[sql.Composable] = [sql.Identifier(name), sql.SQL(kind)]
    if schema is not None:
        parts.append(sql.SQL("collate {}").format(sql.Identifier(schema, collation)))
    if generated.strip("\0") and expression:
        parts.append(
            sql.SQL("generated always as ({}) {}").format(
                sql.SQL(expression), sql.SQL("stored" if generated == "s" else "virtual")
            )
        )
    elif expression:
        parts.append(sql.SQL("default {}").format(sql.SQL(expression)))
        if notnull:
            parts.append(sql.SQL("not null"))
    return sql.SQL(" ").join(parts)


def _add(
    target: Connection, link: Link, relation: Relation, wanted: Sequence[sql.Composed], noted: dict[TableName, Known]
) -> None:
    try:
        with target.transaction():
            columns.save(target, link, noted)
            target.execute(
                sql.SQL("alter table {} {}").format(
                    relation.identifier, sql.SQL(", ").join(sql.SQL("add column {}").format(one) for one in wanted)
                )
            )
    except psycopg.errors.LockNotAvailable as error:
        raise LockedOut(str(relation.name)) from error

"""Conditions that two keys are equal, by the operators of the table's key: of rows and logs, and of two logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

from psycopg import sql

from replicator.relations import Relation


def match(
    relation: Relation, table: LiteralString, other: LiteralString, columns: Mapping[str, sql.Composable]
) -> sql.Composed:
    """That a row of `table` has the key that stands in the named columns of `other`."""
    parts = [
        sql.SQL("{}.{} {} {}.{}").format(
            sql.SQL(table), sql.Identifier(name), operator.as_sql(), sql.SQL(other), columns[name]
        )
        for name, operator in zip(relation.key, relation.equal, strict=True)
    ]
    return sql.SQL(" and ").join(parts)


def match_keys(relation: Relation, one: LiteralString, other: LiteralString) -> sql.Composed:
    """That two logs' keys (k1, k2 ...) are equal."""
    parts = [
        sql.SQL("{0}.{2} {3} {1}.{2}").format(
            sql.SQL(one), sql.SQL(other), sql.Identifier(f"k{i + 1}"), operator.as_sql()
        )
        for i, operator in enumerate(relation.equal)
    ]
    return sql.SQL(" and ").join(parts)

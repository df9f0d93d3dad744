"""Whether a database's changes can be decoded from its WAL for a sync, a sentence for each thing in the way. Pure.

A pushdelta's: a fullcopy asks only whether a table has changed, and goes by triggers.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from replicator.model import Herd, Sync, TableName
from replicator.relations import Relation, identifier
from replicator.validate.decoding import FIRST_VERSION, Decoding, Published
from replicator.validate.facts import Facts

BY_TRIGGERS = "capture its changes by triggers"


def undecodable(sync: Sync, herd: Herd, facts: Facts) -> Iterator[str]:
    """What keeps the WAL of a database that a sync reads from being decoded for it."""
    if facts.version < FIRST_VERSION:
        yield (
            f"{facts.database}: its WAL can be decoded from PostgreSQL 11 on, and it is {facts.version // 10000};"
            f" {BY_TRIGGERS}"
        )
    elif facts.decoding:
        yield from _bad_server(facts, facts.decoding)
        for table in herd.tables:
            if relation := facts.relations.get(table):
                yield from _bad_table(sync, facts, relation, facts.decoding.tables.get(table))


def _bad_server(facts: Facts, found: Decoding) -> Iterator[str]:
    if found.encoding == "SQL_ASCII":
        yield (
            f"{facts.database}: its encoding is SQL_ASCII, and text that is no valid UTF-8, in whatever column, would"
            f" stop the decoding of its WAL; {BY_TRIGGERS}"
        )
    if found.level != "logical":
        yield (
            f"{facts.database}: wal_level is {found.level}, so its WAL cannot be decoded;"
            " run `alter system set wal_level = logical` and restart the server"
        )
    if not found.replicates:
        yield (
            f"{facts.database}: role {facts.role} may not read a replication slot;"
            f' run `alter role "{facts.role}" replication`'
        )
    if not facts.stages:
        yield (
            f"{facts.database}: role {facts.role} cannot make temporary tables, into which the WAL is decoded;"
            f' run `grant temporary on database "{facts.database.dbname}" to "{facts.role}"`'
        )
    if not found.publishes:
        yield (
            f"{facts.database}: role {facts.role} cannot make a publication there;"
            f' run `grant create on database "{facts.database.dbname}" to "{facts.role}"`'
        )
    if not found.free:
        yield (
            f"{facts.database}: no replication slot is free, max_replication_slots is {found.slots}; raise that and"
            " restart the server, or drop a slot that nobody reads"
        )


def _bad_table(sync: Sync, facts: Facts, relation: Relation, found: Published | None) -> Iterator[str]:
    table = relation.name
    if relation.partitioned:
        yield f"{facts.database}: {table} is partitioned, which cannot be captured from the WAL; {BY_TRIGGERS}"
    if found is None:
        return
    if found.persistence != "p":
        yield (
            f"{facts.database}: {table} is unlogged, so its changes are not in the WAL;"
            f" run {_quoted('alter table {} set logged', table)}, or {BY_TRIGGERS}"
        )
    if relation.key and not found.whole and not found.identifying >= set(relation.key):
        yield (
            f"sync {sync.name}: {table} has no replica identity that holds its key ({', '.join(relation.key)}) on"
            f" {facts.database.name}, and the server refuses updates and deletes of a table that is published without;"
            f" run {_remedy(relation, found)}"
        )


def _remedy(relation: Relation, found: Published) -> str:
    for index in found.indexes:
        if index.strict and index.columns >= set(relation.key):
            if index.primary:
                return _quoted("alter table {} replica identity default", relation.name)
            return _quoted("alter table {} replica identity using index {}", relation.name, index.name)
    return _quoted("alter table {} replica identity full", relation.name)


def _quoted(statement: str, table: TableName, *names: str) -> str:
    parts = (identifier(table), *map(sql.Identifier, names))
    for part in parts:
        statement = statement.replace("{}", part.as_string(), 1)
    return f"`{statement}`"

"""Makes the sequences of two masters hand out different numbers: those that feed the tables of their swap.

Done for every pair of masters, before its links move anything; that each pair is apart is all that it takes. What a
sequence becomes is decided in `shares`. ALTER SEQUENCE waits for transactions that have taken a number, and keeps
others from taking one until it is committed; so both are read, and changed, while nobody takes numbers from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from psycopg import sql

from replicator import postgres
from replicator.errors import SchemaMismatch
from replicator.failpoint import failpoint
from replicator.model import Database, TableName
from replicator.postgres import Connection, fetch_one
from replicator.relations import identifier
from replicator.sequences import shares
from replicator.sequences.shares import Move, Share, Standing

FEEDS = """
with wanted as (
    select c.oid as relid, n.nspname, c.relname
    from unnest(%(schemas)s::text[], %(names)s::text[]) w(nspname, relname)
    join pg_namespace n on n.nspname = w.nspname
    join pg_class c on c.relnamespace = n.oid and c.relname = w.relname
), fed as (
    select w.relid, d.refobjsubid as attnum, d.objid as seq from wanted w
    join pg_depend d on d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
         and d.refobjid = w.relid and d.refobjsubid > 0 and d.deptype in ('a', 'i')
    union
    select w.relid, a.adnum, d.refobjid from wanted w
    join pg_attrdef a on a.adrelid = w.relid
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid and d.refclassid = 'pg_class'::regclass
)
select w.nspname, w.relname, a.attname, n.nspname, c.relname,
       a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
       and exists (select from pg_index i where i.indrelid = w.relid and i.indkey[0] = a.attnum and i.indisvalid
                   and i.indpred is null)
from fed f join wanted w on w.relid = f.relid
join pg_attribute a on a.attrelid = f.relid and a.attnum = f.attnum
join pg_class c on c.oid = f.seq and c.relkind = 'S'
join pg_namespace n on n.oid = c.relnamespace
order by 1, 2, 3, 4, 5
"""
"""The sequences behind columns: of serial and identity columns, and of defaults that name one; and whether an index
tells the column's extremes."""

Fed = tuple[TableName, str]
"""A column, by its table; of a sequence that a herd lists, the sequence and no column."""


@dataclass(frozen=True)
class Source:
    """A sequence on one server. indexed: the extremes of the column that it feeds are cheap to look up."""

    name: TableName
    indexed: bool = False


@dataclass(frozen=True)
class End:
    """One of the two masters. connection: in autocommit."""

    database: Database
    connection: Connection
    share: Share


def sources(connection: Connection, tables: Sequence[TableName], listed: Sequence[TableName]) -> dict[Fed, Source]:
    """The sequences that feed the tables, by the column, and those listed."""
    names = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    found: dict[Fed, Source] = {}
    for schema, table, column, seq_schema, seq, indexed in connection.execute(FEEDS, names):
        found.setdefault((TableName(schema, table), column), Source(TableName(seq_schema, seq), indexed))
    known = {source.name for source in found.values()}
    return found | {(name, ""): Source(name) for name in listed if name not in known}


def keep_apart(one: End, other: End, tables: Sequence[TableName], listed: Sequence[TableName]) -> list[TableName]:
    """Let no two numbers of the two masters be the same; the sequences that had to be changed, as `one` names them.

    Raises SchemaMismatch for one that cannot be shared, LockedOut when applications keep one busy.
    """
    ours, theirs = (sources(end.connection, tables, listed) for end in (one, other))
    pairs = dict.fromkeys((ours[fed], theirs[fed], fed) for fed in ours if fed in theirs)
    changed = []
    for ours_is, theirs_is, fed in pairs:
        work = partial(_keep_apart, (one, ours_is), (other, theirs_is), fed)
        if postgres.patiently(work):
            changed.append(ours_is.name)
    return changed


def _keep_apart(one: tuple[End, Source], other: tuple[End, Source], fed: Fed) -> bool:
    """One pair of sequences; whether anything was to be done."""
    (here, mine), (there, its) = one, other
    with postgres.translated(f"sequence {mine.name}"):
        found = _look(here, mine, fed), _look(there, its, fed)
        if not any(_wanted(here, found[0], there, found[1])):
            return False
        # Opened in this order by every link, so that two of them cannot wait for each other.
        with here.connection.transaction():
            with there.connection.transaction():
                for end, standing in zip((here, there), found, strict=True):
                    postgres.give_way(end.connection)
                    _lock(end.connection, standing)
                found = _look(here, mine, fed), _look(there, its, fed)
                moves = _wanted(here, found[0], there, found[1])
                failpoint("share.before-change")
                for end, standing, move in zip((here, there), found, moves, strict=True):
                    if move:
                        _alter(end.connection, standing.name, move)
            failpoint("share.between-commits")
    failpoint("share.after-commits")
    return any(moves)


def _wanted(here: End, mine: Standing, there: End, its: Standing) -> tuple[Move | None, Move | None]:
    for end, standing in ((here, mine), (there, its)):
        if not end.share.taken(standing):
            shares.check(standing, end.database.name)
    if mine.down is not its.down:
        raise SchemaMismatch(
            f"sequence {mine.name} counts {'down' if mine.down else 'up'} on {here.database.name} and the other way on"
            f" {there.database.name}.",
            hint="Make the definitions equal.",
        )
    return shares.apart((mine, here.share), (its, there.share))


def _look(end: End, source: Source, fed: Fed) -> Standing:
    """Where a sequence stands, and if it is not shared yet, how far its column is."""
    found = standing(end.connection, source.name)
    if not source.indexed or end.share.taken(found):
        return found
    table, column = fed
    query = sql.SQL("select {}({}) from {}").format(
        sql.SQL("min" if found.down else "max"), sql.Identifier(column), identifier(table)
    )
    return replace(found, beyond=fetch_one(end.connection, query)[0])


def standing(connection: Connection, name: TableName) -> Standing:
    """A sequence as it is now."""
    query = sql.SQL(
        "select p.seqincrement, p.seqstart, p.seqmin, p.seqmax, p.seqcycle, s.last_value, s.is_called"
        " from {} s, pg_sequence p where p.seqrelid = {}::regclass"
    ).format(identifier(name), sql.Literal(identifier(name).as_string(connection)))
    increment, start, least, most, cycles, last, called = fetch_one(connection, query)
    return Standing(
        name=name, increment=increment, start=start, least=least, most=most, cycles=cycles, last=last, called=called
    )


def _lock(connection: Connection, found: Standing) -> None:
    """Keep others from taking numbers. A sequence cannot be locked but by changing it, if only to what it is."""
    connection.execute(
        sql.SQL("alter sequence {} increment by {}").format(identifier(found.name), sql.Literal(found.increment))
    )


def _alter(connection: Connection, name: TableName, move: Move) -> None:
    connection.execute(
        sql.SQL("alter sequence {} increment by {} start with {} restart with {}").format(
            identifier(name), sql.Literal(move.increment), sql.Literal(move.start), sql.Literal(move.restart)
        )
    )

"""Digests: a table, or a part of it, as a number of rows and 128 bits that do not depend on the order of rows.

Each row's canonical text is hashed by md5; the two halves are added up as numbers. (Exclusive-or instead of a sum would
let a row that occurs twice vanish; sums without a count would not tell none from nothing.) This proves equality between
servers that mean well; it is no defence against somebody who makes up rows to fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import IsolationLevel, sql

from replicator.errors import SchemaMismatch
from replicator.model import Database, TableName
from replicator.postgres import Connection, Connector, translated
from replicator.relations import Relation, describe
from replicator.verify import canonical
from replicator.verify.canonical import Columns
from replicator.verify.division import Division, divide, hashed

HALF = 1 << 64


@dataclass(frozen=True)
class TableDigest:
    """rows: how many. high, low: the sums of the halves of the rows' hashes, modulo 2^64. `+` joins separate parts."""

    rows: int = 0
    high: int = 0
    low: int = 0

    def __add__(self, other: TableDigest) -> TableDigest:
        return TableDigest(self.rows + other.rows, (self.high + other.high) % HALF, (self.low + other.low) % HALF)

    @property
    def digest(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.high:016x}{self.low:016x}"


@dataclass(frozen=True)
class Reading:
    """How to read one table on one server for comparison: what names a row, what tells its content."""

    relation: Relation
    columns: Columns
    names: tuple[str, ...]
    key: tuple[str, ...]
    division: Division

    @property
    def row_text(self) -> sql.Composed:
        """The canonical text of a row."""
        return self.columns.row(self.names, [sql.Identifier("t", name) for name in self.names])

    @property
    def row_hash(self) -> sql.Composed:
        """The md5 of a row, in hexadecimal."""
        return sql.SQL("md5({})").format(self.columns.bytes(self.row_text))

    @property
    def key_bytes(self) -> sql.Composed:
        """What a row is known by on every server, and sorts by: its key's text, or without a key its own hash."""
        if not self.key:
            return hashed(self.columns, self.row_text)
        return self.columns.bytes(self.columns.row(self.key, [sql.Identifier("t", name) for name in self.key]))

    @property
    def hash_bytes(self) -> sql.Composed:
        """What ranges are cut by if not by the key."""
        return sql.SQL("decode(md5({}), 'hex')").format(self.key_bytes)

    @property
    def number(self) -> sql.Composed:
        """The number of the row's range."""
        return self.division.number(self.hash_bytes)

    def among(self, numbers: Iterable[int]) -> sql.Composed:
        """The condition for rows of those ranges."""
        return self.division.among(list(numbers), self.hash_bytes)

    def key_text(self, places: Sequence[sql.Composable]) -> sql.Composed:
        """`key_bytes` for key values (without a key, those of all columns) that stand elsewhere than in the table."""
        if not self.key:
            return hashed(self.columns, self.columns.row(self.names, places))
        return self.columns.bytes(self.columns.row(self.key, places))


# unnest keeps the planner from writing the hash out at both places that use it, and from sorting the rows by range to
# group them: twice as fast from version 11 on, where it also runs in parallel.
RANGES = """
select n, count(*), sum(('x' || substr(h, 1, 16))::bit(64)::bigint), sum(('x' || substr(h, 17))::bit(64)::bigint)
from (select {number} as n, unnest(array[{hash}]) as h from {rows} t) s group by n
"""


def by_range(connection: Connection, reading: Reading) -> dict[int, TableDigest]:
    """The digest of each range that holds rows. One pass over the table."""
    query = sql.SQL(RANGES).format(number=reading.number, hash=reading.row_hash, rows=reading.relation.rows)
    return {
        int(number): TableDigest(int(rows), int(high) % HALF, int(low) % HALF)
        for number, rows, high, low in connection.execute(query)
    }


def digest(connection: Connection, relation: Relation) -> TableDigest:
    """The digest of a whole table as the connection's transaction sees it. Raises psycopg.Error.

    Equal on any two servers whose tables have the same columns (in any order) and rows.
    """
    names = tuple(sorted(column.name for column in relation.columns))
    reading = Reading(relation, canonical.read(connection, relation), names, (), Division(None, "bytea"))
    return sum(by_range(connection, reading).values(), TableDigest())


def table_digests(
    connector: Connector, databases: Sequence[Database], tables: Sequence[TableName]
) -> Mapping[TableName, Mapping[str, TableDigest | None]]:
    """The digest of each table in each database, by the database's name; None where the table does not exist.

    Each database is read in one snapshot. Raises Unreachable, Refused and other ReplicatorErrors.
    """
    found: dict[TableName, dict[str, TableDigest | None]] = {table: {} for table in tables}
    for database in databases:
        for table, value in _digests(connector, database, tables).items():
            found[table][database.name] = value
    return found


def _digests(
    connector: Connector, database: Database, tables: Sequence[TableName]
) -> dict[TableName, TableDigest | None]:
    connection = connector.open(database, "verify")
    with translated(str(database)), connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        relations = describe(connection, tables)
        return {name: digest(connection, relations[name]) if name in relations else None for name in tables}


def readings(source: Connection, target: Connection, ours: Relation, theirs: Relation) -> tuple[Reading, Reading]:
    """How to read a table on both sides of a link. Raises SchemaMismatch when the columns are not the same."""
    names = tuple(sorted(column.name for column in ours.columns))
    if names != tuple(sorted(column.name for column in theirs.columns)):
        raise SchemaMismatch(f"{ours.name}: the columns differ between source and target.")
    key = ours.key
    division = divide(source, ours, key)
    return (
        Reading(ours, canonical.read(source, ours), names, key, division),
        Reading(theirs, canonical.read(target, theirs), names, key, division),
    )

"""Brings the loser of a conflict back, as an application's write on the master that had decided.

It is logged like any other write, so it travels, and being later it wins over what it replaces everywhere. The image
stays on the server: it is read out of the ledger by the statement that writes it, and only if every value comes out as
it went in; a table that has changed so that one does not is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from replicator.apply.stage import EXACT
from replicator.errors import LockedOut, ReplicatorError, UsageError
from replicator.ledger.entry import Conflict, Row, Side, written
from replicator.ledger.reading import entry, parse, read_exactly
from replicator.model import Install, SyncType, Topology
from replicator.postgres import Connection, Connector, fetch_one, translated
from replicator.relations import Column, Relation, describe

LOCK_TIMEOUT = "5s"


@dataclass(frozen=True)
class Restored:
    """did: `inserted`, `updated` or `deleted`; empty when the row was so already. before: what was there.

    side: whose row it was.
    """

    conflict: Conflict
    side: Side
    did: str
    before: Row | None


def restore(topology: Topology, install: Install, connector: Connector, name: str, node: str = "") -> Restored:
    """Write a conflict's losing image, in one transaction. node: whose; needed where both sides lost.

    Raises UsageError, NotFound, Unreachable; LockedOut when the row or the table is being used; RowRejected when the
    server refuses the row; ReplicatorError when the image does not fit the table, or would not travel.
    """
    database, number = parse(topology, name)
    with translated(str(database)), connector.open(database, "restore") as connection:
        conflict = entry(connection, install, database, number)
        _check_travels(topology, conflict)
        connection.execute("select set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        try:
            return _Image(connection, install, conflict, _chosen(conflict, node)).restore()
        except psycopg.errors.LockNotAvailable as error:
            raise LockedOut(
                f"{name} is not restored: its row in {conflict.table} has been locked by others for {LOCK_TIMEOUT}.",
                hint="Try again.",
            ) from error


def _chosen(conflict: Conflict, node: str) -> Side:
    """The losing side of that node, or the only one. Raises UsageError."""
    losers = {side.node: side for side in conflict.losers}
    if node and node not in losers:
        raise UsageError(f"{conflict.name}: {node} did not lose it.", hint=f"Lost have: {', '.join(losers)}.")
    if not node and len(losers) > 1:
        ended = "both rows were merged into a third" if conflict.merges else "each side kept its own row"
        raise UsageError(f"{conflict.name}: {ended}.", hint=f"Say whose is to come back: --node {' or '.join(losers)}.")
    return losers[node] if node else conflict.losers[0]


def _check_travels(topology: Topology, conflict: Conflict) -> None:
    sync = topology.syncs.get(conflict.sync)
    carried = (
        sync is not None
        and sync.type is SyncType.SWAP
        and conflict.table in topology.herds[sync.herd].tables
        and topology.databases.get(conflict.node) in topology.masters(sync)
    )
    if not carried:
        raise ReplicatorError(
            f"{conflict.name} is not restored: no swap {conflict.sync} carries {conflict.table} from {conflict.node}"
            " any more, so the row would not travel.",
            hint="`replicator conflicts show` has the row.",
        )


class _Image:
    """The losing image of a conflict, on its way into the table."""

    def __init__(self, connection: Connection, install: Install, conflict: Conflict, side: Side) -> None:
        self._connection = connection
        self._conflict = conflict
        self._side = side
        self._image = side.row
        self._ledger = sql.Identifier(install.schema, "conflict")
        self._relation = self._fitting(describe(connection, [conflict.table]).get(conflict.table))
        self._columns = [column for column in self._relation.written if column.name in (self._image or {})]

    def _misfit(self, why: str) -> ReplicatorError:
        return ReplicatorError(
            f"{self._conflict.name} is not restored: {why}.", hint="`replicator conflicts show` has the row."
        )

    def _fitting(self, relation: Relation | None) -> Relation:
        """The table, if it has all columns of the image, and the key that it had."""
        table = self._conflict.table
        if relation is None:
            raise self._misfit(f"{table} is gone from {self._conflict.node}")
        if set(relation.key) != set(self._conflict.key):
            now, then = (", ".join(sorted(key)) or "none" for key in (relation.key, self._conflict.key))
            raise self._misfit(f"the key of {table} was ({then}) and is now ({now})")
        names = {column.name for column in relation.columns}
        if gone := [name for name in self._image or {} if name not in names]:
            raise self._misfit(f"{table} no longer has what the image holds: column {', '.join(gone)}")
        return relation

    def restore(self) -> Restored:
        """Write it."""
        if self._image is not None:
            self._check_values()
        before = self._lock()
        did = self._write(before)
        return Restored(self._conflict, self._side, did, before)

    def _write(self, before: Row | None) -> str:
        if self._image is None:
            return self._execute("deleted", "delete from {rows} t using {key} where {match}") if before else ""
        if before is None:
            return self._insert()
        changed = [c for c in self._columns if written(before[c.name]) != written(self._image[c.name])]
        return self._update(changed) if changed else ""

    def _insert(self) -> str:
        return self._execute(
            "inserted",
            "insert into {table} ({names}) overriding system value select {values} from {image}",
            names=sql.SQL(", ").join(sql.Identifier(column.name) for column in self._columns),
            values=sql.SQL(", ").join(sql.SQL("r.{}").format(sql.Identifier(c.name)) for c in self._columns),
        )

    def _update(self, changed: list[Column]) -> str:
        if fixed := [column.name for column in changed if column.identity == "a"]:
            raise self._misfit(f"the row has another {fixed[0]} now, which is GENERATED ALWAYS and cannot be set")
        assigned = [c for c in self._columns if c.identity != "a" and self._assignable(c)]
        return self._execute(
            "updated",
            "update {rows} t set {assigned} from {image} cross join lateral {columns_of_key} where {match}",
            assigned=sql.SQL(", ").join(sql.SQL("{0} = r.{0}").format(sql.Identifier(c.name)) for c in assigned),
        )

    def _assignable(self, column: Column) -> bool:
        # Naming a key column in an update fires triggers on it: only where equal values may look different.
        return column.name not in self._relation.key or column.stage_type not in EXACT

    def _check_values(self) -> None:
        """Raise unless every value of the image comes out of the table's types as it went in."""
        pairs = [
            sql.SQL("({}, to_jsonb(r.{}))").format(sql.Literal(c.name), sql.Identifier(c.name)) for c in self._columns
        ]
        query = self._compose(
            "select coalesce(string_agg(x.name, ', '), '') from {image} cross join lateral (values {pairs}) x(name, v)"
            " where coalesce(x.v, 'null') is distinct from {row} -> x.name",
            pairs=sql.SQL(", ").join(pairs),
        )
        table = self._conflict.table
        try:
            changed = fetch_one(self._connection, query)[0]
        except psycopg.DataError as error:
            raise self._misfit(f"the image no longer fits {table}: {error.diag.message_primary}") from error
        if changed:
            raise self._misfit(f"{table} cannot hold what the image has in column {changed}")

    def _lock(self) -> Row | None:
        """The row as it is; it stays so until the end of the transaction."""
        pairs = [
            sql.SQL("({}, to_jsonb(t.{}))").format(sql.Literal(c.name), sql.Identifier(c.name))
            for c in self._relation.written
        ]
        query = self._compose(
            "select (select jsonb_object_agg(x.k, x.v) from (values {pairs}) x(k, v)) from {rows} t"
            " cross join {key} where {match} for update of t",
            pairs=sql.SQL(", ").join(pairs),
        )
        read_exactly(self._connection)
        found = self._connection.execute(query).fetchone()
        return found[0] if found else None

    def _execute(self, did: str, query: LiteralString, **parts: sql.Composable) -> str:
        if self._connection.execute(self._compose(query, **parts)).rowcount != 1:
            raise self._misfit(f"a trigger or rule of {self._conflict.table} kept the row from being {did}")
        return did

    def _compose(self, query: LiteralString, **parts: sql.Composable) -> sql.Composed:
        relation = self._relation
        ours = sql.SQL("(select * from {} where id = {}) c").format(self._ledger, sql.Literal(self._conflict.number))
        row = sql.Identifier("c", "local_row" if self._side is self._conflict.local else "incoming_row")
        columns_of_key = _record(sql.SQL("c.key"), "k", [relation.column(name) for name in relation.key])
        match = [
            sql.SQL("t.{0} {1} k.{0}").format(sql.Identifier(name), equal.as_sql())
            for name, equal in zip(relation.key, relation.equal, strict=True)
        ]
        return sql.SQL(query).format(
            table=relation.identifier,
            rows=relation.rows,
            row=row,
            columns_of_key=columns_of_key,
            key=sql.SQL("({} cross join lateral {})").format(ours, columns_of_key),
            image=sql.SQL("{} cross join lateral {}").format(ours, _record(row, "r", self._columns)),
            match=sql.SQL(" and ").join(match),
            **parts,
        )


def _record(value: sql.Composable, name: LiteralString, columns: list[Column]) -> sql.Composed:
    """JSON as a row of some columns. A type's name comes from the server's format_type, quoted by it."""
    definitions = [sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(c.type)) for c in columns]
    return sql.SQL("jsonb_to_record({}) as {}({})").format(value, sql.SQL(name), sql.SQL(", ").join(definitions))

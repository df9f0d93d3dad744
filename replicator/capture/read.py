"""Reads batches from a node's change logs: which tables changed between two snapshots, and their rows.

All of a batch is read in one REPEATABLE READ transaction, so it is the state at that transaction's snapshot: a row
that changed ten thousand times travels once, and a key without a row is a deletion. A log row belongs to the batch
when the position's snapshot did not see its transaction; written as ids so that the log's index finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString

from psycopg import IsolationLevel, sql

from replicator.capture.needs import Kind
from replicator.capture.setup import Captured
from replicator.model import Install
from replicator.postgres import Connection, fetch_one
from replicator.relations import Relation
from replicator.snapshot import Snapshot

CHANGED_AT_ONCE = 200


@dataclass(frozen=True)
class Probe:
    """A cheap look at a node. seq: grows with every logged change, committed or not.

    upcoming: the next transaction id to be given out. A snapshot's xmax is lower while the latest ids are in progress.
    """

    seq: int
    snapshot: Snapshot
    upcoming: int


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The changes of one table in a batch. since: what the target has. truncated: it was emptied in between."""

    relation: Relation
    captured: Captured
    since: Snapshot
    truncated: bool = False


class Source:
    """The reading side of one link, over a connection of its own in autocommit.

    authored: read only what was written on this node itself, with versions (a swap); else all that flows onward.
    """

    def __init__(self, connection: Connection, install: Install, *, authored: bool) -> None:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        self.connection = connection
        self._install = install
        self._authored = authored

    def probe(self) -> Probe:
        """Look whether anything was logged. To be taken before the batch that it is compared with."""
        # A sequence that was never used shows the value that it will give first: is_called tells the two apart.
        query = sql.SQL("select last_value + is_called::int, txid_current_snapshot()::text, age('3'::xid) from {}.seq")
        seq, text, age = fetch_one(self.connection, query.format(sql.Identifier(self._install.schema)))
        snapshot = Snapshot.parse(text)
        # age() is the distance to the next id, which has no other name; ids are 32 bits there.
        return Probe(seq, snapshot, upcoming=snapshot.xmax + (age + 3 - snapshot.xmax) % 2**32)

    @contextmanager
    def batch(self) -> Iterator[Snapshot]:
        """One transaction whose snapshot bounds the batch."""
        with self.connection.transaction():
            yield Snapshot.parse(fetch_one(self.connection, "select txid_current_snapshot()::text")[0])

    def is_durable(self, snapshot: Snapshot) -> bool:
        """Whether a crash of the source cannot undo what a snapshot saw, nor hand out its transaction ids again.

        With synchronous_commit off a commit is seen before it is on disk. After a crash its id may be given to another
        transaction, which would then look as if it had been moved already. Inside `batch`.
        """
        query = "select txid_status({}) = 'committed' and pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()"
        newest = sql.Literal(snapshot.xmax - 1)
        return bool(fetch_one(self.connection, sql.SQL(query).format(newest))[0])

    def changed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """Those of the tables that have changes in the batch, with `truncated` filled in. Inside `batch`."""
        found: list[Delta] = []
        for start in range(0, len(deltas), CHANGED_AT_ONCE):
            part = deltas[start : start + CHANGED_AT_ONCE]
            queries = [self._changed_query(number, delta) for number, delta in enumerate(part)]
            for number, truncated in self.connection.execute(sql.SQL(" union all ").join(queries)):
                found.append(Delta(**{**vars(part[number]), "truncated": truncated}))
        return found

    def _changed_query(self, number: int, delta: Delta) -> sql.Composed:
        truncated: sql.Composable = sql.SQL("false")
        if delta.captured.kind is Kind.ROWS and not delta.captured.versions:
            truncated = sql.SQL(
                "exists (select from {}.truncated l where {} and schema_name = {} and table_name = {})"
            ).format(
                sql.Identifier(self._install.schema),
                self._in_batch(delta),
                sql.Literal(delta.relation.name.schema),
                sql.Literal(delta.relation.name.name),
            )
        return sql.SQL(
            "select x.n, x.truncated from (select {}::int as n, {} as truncated,"
            " exists (select from {} l where {}) as changed) x"
            " where truncated or changed"
        ).format(sql.Literal(number), truncated, self._log(delta.captured), self._in_batch(delta))

    def _log(self, captured: Captured) -> sql.Identifier:
        return sql.Identifier(self._install.schema, captured.log)

    def _in_batch(self, delta: Delta) -> sql.Composed:
        mine = sql.SQL("l.origin is null") if self._authored else sql.SQL("l.onward")
        return sql.SQL("({} and {})").format(unseen("l.xid", delta.since), mine)

    def rows(
        self, delta: Delta, columns: Sequence[str], retry: Sequence[str] = (), *, text: bool = False
    ) -> sql.Composed:
        """The query of a table's part of the batch: gone, columns ..., and for a swap the version's time
        and what was done last.

        columns: names, in the order wanted. retry: further keys, as JSON objects. text: every value as text.
        """
        relation = delta.relation
        keys = {name: sql.Identifier(f"k{i + 1}") for i, name in enumerate(delta.captured.key)}
        values: list[sql.Composable] = [self._value(relation, name, keys.get(name), text) for name in columns]
        if self._authored:
            values += [sql.SQL("k.at"), sql.SQL("k.op")]
        gone = sql.SQL("t.{} is null").format(sql.Identifier(relation.key[0]))
        return sql.SQL("{with_} select {gone}, {values} from changed k left join {table} t on {match}{where}").format(
            with_=self._changed_keys(delta, retry),
            gone=sql.SQL("({})::text").format(gone) if text else gone,
            values=sql.SQL(", ").join(values),
            table=relation.rows,
            match=match(relation, "t", "k", keys),
            where=sql.SQL(" where k.last_origin is null" if self._authored else ""),
        )

    @staticmethod
    def _value(relation: Relation, name: str, key: sql.Identifier | None, text: bool) -> sql.Composed:
        side, column = ("k", key) if key else ("t", sql.Identifier(name))
        kind = "text" if text else relation.column(name).stage_type
        return sql.SQL("{}.{}::{}").format(sql.SQL(side), column, sql.SQL(kind))

    def _changed_keys(self, delta: Delta, retry: Sequence[str]) -> sql.Composed:
        names = sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(len(delta.captured.key)))
        distinct = sql.SQL("select distinct {} from {} l where {}").format(
            names, self._log(delta.captured), self._in_batch(delta)
        )
        if retry:
            distinct = sql.SQL("{} union {}").format(distinct, self._retry_keys(delta, retry))
        if not self._authored:
            return sql.SQL("with changed as ({})").format(distinct)
        return sql.SQL(
            "with keys as ({distinct}), changed as (select {keys}, max(l.changed_at) as at,"
            " (array_agg(l.origin order by l.seq desc))[1] as last_origin,"
            " (array_agg(l.op order by l.seq desc))[1] as op from keys k join {log} l on {match}"
            " group by {keys})"
        ).format(
            distinct=distinct,
            keys=sql.SQL(", ").join(
                sql.SQL("l.{}").format(sql.Identifier(f"k{i + 1}")) for i in range(len(delta.captured.key))
            ),
            log=self._log(delta.captured),
            match=match_keys(delta.relation, "l", "k"),
        )

    @staticmethod
    def _retry_keys(delta: Delta, retry: Sequence[str]) -> sql.Composed:
        columns = [
            sql.SQL("(j ->> {})::{}").format(sql.Literal(name), sql.SQL(kind))
            for name, kind in zip(delta.captured.key, delta.captured.types, strict=True)
        ]
        return sql.SQL("select {} from unnest({}::jsonb[]) j").format(
            sql.SQL(", ").join(columns), sql.Literal(list(retry))
        )


def make_durable(connection: Connection) -> None:
    """Bring everything that was committed so far to disk, by a commit with the newest transaction id of all."""
    with connection.transaction():
        connection.execute("set local synchronous_commit = local")
        connection.execute("select pg_logical_emit_message(true, 'pgherd', '')")


def unseen(column: LiteralString, since: Snapshot) -> sql.Composed:
    """The condition that a transaction id was not seen by a snapshot, in a form that an index can answer."""
    newer = sql.SQL("{} >= {}").format(sql.SQL(column), sql.Literal(since.xmax))
    if not since.xip:
        return newer
    running = sql.SQL("{} = any({}::bigint[])").format(sql.SQL(column), sql.Literal(sorted(since.xip)))
    return sql.SQL("({} or {})").format(newer, running)


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

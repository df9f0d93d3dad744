"""Decodes what was committed into a table of the session, from where a batch reads it, and moves it into the logs.

A row there is a change: its transaction's 64-bit id, what was done, the table's oid, and pgoutput's message, whose
columns are found by the layout that the stream said before it. To decode is no write that others see; to move is a
transaction of its own, after which the slot goes on. Whoever does either has the slot to himself meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from replicator.capture.decoding import messages, slot
from replicator.capture.decoding.messages import Layout
from replicator.capture.setup import Captured, drop_log, logs
from replicator.errors import Transient
from replicator.failpoint import failpoint
from replicator.logs import log
from replicator.model import Install
from replicator.postgres import Connection, Transaction, affected, fetch_one
from replicator.snapshot import Snapshot

DECODED = sql.Identifier("pg_temp", "pgherd_decoded")

CREATE = """
create temp table pgherd_decoded (n bigint, xid bigint, kind "char", relid oid, message bytea);
alter table pgherd_decoded alter message set storage external
"""
"""Long messages are not compressed: they are read once."""

PEEK = """
insert into {decoded} (n, xid, kind, relid, message)
select n, {upcoming} + (xid::text::bigint - {upcoming} % 4294967296 + 6442450944) % 4294967296 - 2147483648,
       chr(get_byte(data, 0))::"char",
       (get_byte(data, 1)::bigint << 24 | get_byte(data, 2) << 16 | get_byte(data, 3) << 8 | get_byte(data, 4))::oid,
       data
from pg_logical_slot_peek_binary_changes({slot}, {until}, null, 'proto_version', '1', 'publication_names',
     {publication}) with ordinality x(lsn, xid, data, n)
where get_byte(data, 0) in (68, 73, 82, 84, 85)
"""
"""Of deletes, inserts, relations, truncates and updates. An id has 32 bits there; it is the one nearest to the next."""

STANDING = """
select pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text,
       pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn(),
       (select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s)
"""

WAITING = """
with found as materialized (
    select get_byte(data, 0) as kind, xid::text as xid, data
    from pg_logical_slot_peek_binary_changes(%(slot)s, null, %(most)s, 'proto_version', '1', 'publication_names',
         %(publication)s)
), mine as (
    select xid from found where kind = 84 or kind in (68, 73, 85) and
    (get_byte(data, 1)::bigint << 24 | get_byte(data, 2) << 16 | get_byte(data, 3) << 8 | get_byte(data, 4))
    = any(%(tables)s::bigint[])
)
select (select count(*) from mine), (select count(*) from found) >= %(most)s,
       (select extract(epoch from clock_timestamp() - timestamptz '2000-01-01 00:00:00+00')::float8
               - min(('x' || encode(substring(data from 10 for 8), 'hex'))::bit(64)::bigint) / 1e6
        from found where kind = 66 and xid in (select xid from mine))
"""
"""Of a transaction's beginning (B) the time of its commit follows its place: microseconds since 2000."""

FIRST = 8
"""Where the columns of a message's first row begin: of what was inserted, deleted, or was there before an update."""

FAR = 2**20
"""Bytes of WAL without a change of ours after which the slot goes on all the same."""

HAS_OLD = "kind = 'U' and get_byte(message, 5) <> ascii('N')"
"""Of a message that has a row before the update, and then the one after it."""

TEXT = 116
"""The byte by which a message says that a column has a value."""

REFUSED = (psycopg.errors.NotNullViolation, psycopg.errors.DataError)


@dataclass(frozen=True)
class Stretch:
    """A part of the stream in which a table's rows have one layout: from after message `first` to before `last`."""

    layout: Layout
    first: int
    last: int | None = None


class Decoder:
    """What one session decodes of an install's logs. The connection is in autocommit.

    flush: brings to disk what was committed; by default one waits until the server has.
    """

    def __init__(self, connection: Connection, install: Install, flush: Callable[[], None] | None = None) -> None:
        self._connection, self._install = connection, install
        self._slot = slot.name(connection, install)
        self._flush = flush or self._await_flushed
        self._stretches: dict[int, list[Stretch]] = {}
        self._paired: frozenset[int] = frozenset()
        self._from = self._until = ""
        self._locked = self._clean = False
        self.rows = 0  # changes that were decoded
        self.seconds = 0.0
        if not fetch_one(connection, "select to_regclass('pg_temp.pgherd_decoded') is not null")[0]:
            connection.execute(CREATE)

    @property
    def changed(self) -> frozenset[int]:
        """The oids of the tables of which something was decoded."""
        return frozenset(self._stretches)

    @property
    def until(self) -> str:
        """The place in the WAL up to which it was decoded last."""
        return self._until

    def lock(self) -> None:
        """Have the slot to oneself, until `unlock`."""
        self._connection.execute("select pg_advisory_lock(%s)", [self._install.lock_key(slot.LOCK)])
        self._locked = True

    def unlock(self) -> None:
        """Let others have the slot. Idempotent; a connection that broke has let go of it."""
        if self._locked and not self._connection.broken:
            self._connection.execute("select pg_advisory_unlock(%s)", [self._install.lock_key(slot.LOCK)])
        self._locked = False

    def decode(self, upcoming: int) -> None:
        """Decode what no log has: all that this transaction's snapshot sees of it, and perhaps what came later.

        With the slot locked since before the snapshot. upcoming: the next transaction id to be given out, about.
        Raises Transient when the slot is gone.
        """
        began = time.monotonic()
        _, flushed, durable, self._from = self._standing()
        if self._from is None:
            raise self._lost()
        if not durable:
            self._flush()
            flushed = self._standing()[1]
        self.forget()
        if flushed != self._until or not self._clean:
            self._fill(upcoming, flushed)
        self._until, self._clean = flushed, not self.rows
        self.seconds = time.monotonic() - began

    def forget(self) -> None:
        """Drop what was decoded."""
        if self.rows:
            self._connection.execute(sql.SQL("delete from {}").format(DECODED))
        self.rows, self._stretches = 0, {}

    def changes(self, captured: Captured) -> sql.Composed:
        """The query of a table's decoded changes: k1, k2 ..., xid."""
        nothing = [
            sql.SQL("null::{} as {}").format(sql.SQL(kind), sql.Identifier(f"k{i}"))
            for i, kind in enumerate(captured.types, 1)
        ]
        parts = [sql.SQL("select {}, null::bigint as xid where false").format(sql.SQL(", ").join(nothing))]
        for stretch in self._stretches[captured.relid]:
            parts += self._keys(captured, stretch)
        return sql.SQL(" union all ").join(parts)

    def with_log(
        self, captured: Captured, log: sql.Composable, condition: sql.Composable | None = None
    ) -> sql.Composed:
        """A log with what was decoded of it, in parentheses: k1, k2 ..., xid, onward.

        condition: which of the decoded changes `l` count.
        """
        names = (sql.Identifier(f"k{i + 1}") for i in range(len(captured.key)))
        keys = sql.SQL("").join(sql.SQL("l.{}, ").format(name) for name in names)
        return sql.SQL(
            "(select {0}l.xid, l.onward from {1} l union all select {0}l.xid, true from ({2}) l where {3})"
        ).format(keys, log, self.changes(captured), condition or sql.SQL("true"))

    def emptied(self, unseen: sql.Composable) -> dict[int, bool]:
        """Of the tables with changes `l` that meet a condition, whether they were truncated; by oid."""
        query = sql.SQL("select l.relid::bigint, bool_or(l.kind = 'E') from {} l where l.kind <> 'R' and {} group by 1")
        return {int(relid): bool(was) for relid, was in self._connection.execute(query.format(DECODED, unseen))}

    def keep(self) -> None:
        """Move what was decoded into the logs, and the slot on. Not in a transaction, and with the slot not locked."""
        if not self.rows and not self._far():
            return
        began = time.monotonic()
        with slot.locked(self._connection, self._install):
            if self._standing()[3] == self._from:  # else another session has, and what came after that comes again
                self._store()
        self.seconds += time.monotonic() - began

    def drain(self) -> int:
        """Decode, and move it into the logs at once; how many changes there were."""
        with slot.locked(self._connection, self._install):
            upcoming = fetch_one(self._connection, "select txid_snapshot_xmax(txid_current_snapshot())")[0]
            self.decode(upcoming)
            found = self.rows
            if found or self._far():
                self._store()
        return found

    # --- decoding -----------------------------------------------------------------------------------------------

    def _standing(self) -> tuple[str, str, bool, str]:
        written, flushed, durable, confirmed = fetch_one(self._connection, STANDING, [self._slot], prepare=True)
        return written, flushed, durable, confirmed

    def _await_flushed(self) -> None:
        written = self._standing()[0]
        query = "select pg_current_wal_flush_lsn() >= %s::pg_lsn"
        while not fetch_one(self._connection, query, [written])[0]:
            time.sleep(0.02)

    def _fill(self, upcoming: int, until: str) -> None:
        query = sql.SQL(PEEK).format(
            decoded=DECODED,
            upcoming=sql.Literal(upcoming),
            slot=sql.Literal(self._slot),
            until=sql.Literal(until),
            publication=sql.Literal(f'"{slot.publication(self._install)}"'),
        )
        try:
            self.rows = affected(self._connection.execute(query))
        except psycopg.errors.ObjectNotInPrerequisiteState as error:  # the server has given it up
            raise self._lost() from error
        if self.rows:
            self._read_marks()

    def _lost(self) -> Transient:
        return Transient(f"replication slot {self._slot} is gone: the logs that it fed are begun anew.")

    def _read_marks(self) -> None:
        """Read the layouts, and give each table that was truncated a row of its own."""
        paired = sql.SQL("select distinct relid::bigint from {} where {}").format(DECODED, sql.SQL(HAS_OLD))
        self._paired = frozenset(int(relid) for (relid,) in self._connection.execute(paired))
        query = sql.SQL("select n, xid, kind::text, message from {} where kind in ('R', 'T') order by n")
        for n, xid, kind, message in self._connection.execute(query.format(DECODED)).fetchall():
            if kind == "R":
                self.rows -= 1
                layout = messages.layout(message)
                former = self._stretches.setdefault(layout.relid, [])
                if former:
                    former[-1] = Stretch(former[-1].layout, former[-1].first, n)
                former.append(Stretch(layout, n))
                continue
            for relid in messages.truncated(message):
                self._stretches.setdefault(relid, [])
                self._connection.execute(
                    sql.SQL("insert into {} (n, xid, kind, relid) values (%s, %s, 'E', %s)").format(DECODED),
                    [n, xid, relid],
                )

    def _keys(self, captured: Captured, stretch: Stretch) -> list[sql.Composed]:
        """The keys of one stretch: of the rows that come first in their messages, and of those after them."""
        places = stretch.layout.places(captured.key)
        if places is None:
            return []
        where = sql.SQL("relid = {} and n > {}").format(sql.Literal(captured.relid), sql.Literal(stretch.first))
        if stretch.last is not None:
            where = sql.SQL("{} and n < {}").format(where, sql.Literal(stretch.last))
        changed = sql.SQL("kind in ('D', 'I', 'U') and {}").format(where)
        first = self._values(captured, places, sql.Literal(FIRST), changed)
        if captured.relid not in self._paired:
            return [first]
        # Between the two are a byte, that another row comes, and how many columns it has.
        second = sql.SQL("{} + 3").format(self._after(sql.Literal(FIRST), len(stretch.layout.columns)))
        after = self._values(captured, places, second, sql.SQL("{} and {}").format(sql.SQL(HAS_OLD), where))
        keys = [sql.SQL("{} is not null").format(sql.Identifier(f"k{i + 1}")) for i in range(len(places))]
        return [first, sql.SQL("select * from ({}) x where {}").format(after, sql.SQL(" and ").join(keys))]

    def _values(
        self, captured: Captured, places: Sequence[int], start: sql.Composable, where: sql.Composable
    ) -> sql.Composed:
        """The key and the transaction of each message, of the row that starts there."""
        begins = [
            sql.SQL("{} as s{}").format(self._after(start, place), sql.Literal(i)) for i, place in enumerate(places, 1)
        ]
        values = [
            sql.SQL(
                "case when get_byte(message, s{0}) = {1} then convert_from(substring(message from s{0} + 6 for"
                " get_byte(message, s{0} + 1) << 24 | get_byte(message, s{0} + 2) << 16"
                " | get_byte(message, s{0} + 3) << 8 | get_byte(message, s{0} + 4)), 'UTF8') end::{2} as {3}"
            ).format(sql.Literal(i), sql.Literal(TEXT), sql.SQL(kind), sql.Identifier(f"k{i}"))
            for i, kind in enumerate(captured.types, 1)
        ]
        return sql.SQL("select {}, xid from (select message, xid, {} from {} where {}) m").format(
            sql.SQL(", ").join(values), sql.SQL(", ").join(begins), DECODED, where
        )

    def _after(self, start: sql.Composable, columns: int) -> sql.Composable:
        """The place after so many columns that begin at `start`."""
        if not columns:
            return start
        function = sql.Identifier(self._install.schema, "after_columns")
        return sql.SQL("{}(message, {}, {})").format(function, start, sql.Literal(columns))

    # --- moving it into the logs --------------------------------------------------------------------------------

    def _far(self) -> bool:
        query = "select pg_wal_lsn_diff(%s::pg_lsn, %s::pg_lsn)"
        return bool(fetch_one(self._connection, query, [self._until, self._from])[0] > FAR)

    def _store(self) -> None:
        if self.rows:
            try:
                self._move(careful=False)
            except REFUSED:
                self._move(careful=True)
        failpoint("decode.before-advance")
        self._connection.execute("select pg_replication_slot_advance(%s, %s::pg_lsn)", [self._slot, self._until])
        failpoint("decode.after-advance")

    def _move(self, *, careful: bool) -> None:
        with Transaction(self._connection, "begin isolation level read committed") as moving:
            moving.leave()
            self._connection.execute("set local synchronous_commit = local")  # decoding waits for no standby
            found = [one for one in logs(self._connection, self._install).values() if one.decoded]
            for captured in found:
                if captured.relid in self._stretches:
                    self._move_table(captured, careful=careful)
            failpoint("decode.before-commit")
            self._connection.execute(sql.SQL("truncate {}").format(DECODED))
        self.rows, self._stretches, self._clean = 0, {}, True

    def _move_table(self, captured: Captured, *, careful: bool) -> None:
        """Move a table's changes. A log in which some of them cannot be is given up: targets copy the table anew."""
        legible = all(s.layout.places(captured.key) is not None for s in self._stretches[captured.relid])
        try:
            if legible and careful:
                with self._connection.transaction():
                    self._insert(captured)
            elif legible:
                self._insert(captured)
        except REFUSED:
            if not careful:
                raise
            legible = False
        if not legible:
            log.warning("the changes of %s cannot be read from the WAL: its log is begun anew", captured.table)
            drop_log(self._connection, self._install, captured)

    def _insert(self, captured: Captured) -> None:
        schema = sql.Identifier(self._install.schema)
        names = [sql.Identifier(f"k{i + 1}") for i in range(len(captured.key))]
        columns = sql.SQL(", ").join([*names, sql.Identifier("xid")])
        self._connection.execute(
            sql.SQL("insert into {}.{} ({}) {}").format(
                schema, sql.Identifier(captured.log), columns, self.changes(captured)
            )
        )
        self._connection.execute(
            sql.SQL(
                "insert into {}.truncated (schema_name, table_name, xid)"
                " select %s, %s, xid from {} where relid = %s and kind = 'E'"
            ).format(schema, DECODED),
            [captured.table.schema, captured.table.name, captured.relid],
        )


def drain(connection: Connection, install: Install) -> int:
    """Move what was committed into the logs that are fed from the WAL, if there are any; how many changes there were.

    For whoever has no batch to decode for. The connection is in autocommit.
    """
    if not any(captured.decoded for captured in logs(connection, install).values()):
        return 0
    return Decoder(connection, install).drain()


def waiting(connection: Connection, install: Install, tables: Collection[int], most: int) -> tuple[int, bool, float]:
    """How many changes of those tables (by oid) no log has yet, of so many at the most; whether there are more messages
    than that; and how many seconds ago the first of them was committed.
    """
    with slot.locked(connection, install):
        if not slot.exists(connection, install):
            return 0, False, 0.0
        values = {
            "slot": slot.name(connection, install),
            "publication": f'"{slot.publication(install)}"',
            "most": most,
            "tables": list(tables),
        }
        row = connection.execute(WAITING, values).fetchone()
        count, more, seconds = row or (0, False, None)
        return int(count), bool(more), max(0.0, float(seconds or 0.0))


def seen_by(snapshot: Snapshot) -> sql.Composed:
    """The condition that the transaction of a change `l` was seen by a snapshot."""
    query = sql.SQL("(l.xid < {} and l.xid <> all({}::bigint[]))")
    return query.format(sql.Literal(snapshot.xmax), sql.Literal(sorted(snapshot.xip)))

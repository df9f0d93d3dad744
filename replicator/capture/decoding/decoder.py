"""Decodes what was committed into a table of the session, from where a batch reads it, and moves it into the logs.

A row there is a change: its transaction's 64-bit id, what was done, the table's oid, and pgoutput's message, whose
columns are found by the layout that the stream said before it. To decode is no write that others see; to move is a
transaction of its own, after which the slot goes on. Whoever does either has the slot to himself meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from psycopg import sql

from replicator.capture.captured import Captured, logs
from replicator.capture.decoding import messages, slot
from replicator.capture.decoding.keys import DECODED, HAS_OLD, Keys, Stretch
from replicator.capture.dropping import drop_log
from replicator.capture.schema import has_schema
from replicator.errors import Transient
from replicator.failpoint import failpoint
from replicator.logs import log
from replicator.model import Install
from replicator.postgres import Connection, Transaction, affected, fetch_one
from replicator.snapshot import Snapshot

CREATE = """
create temp table pgherd_decoded (n bigint, xid bigint, kind "char", relid oid, message bytea);
alter table pgherd_decoded alter message set storage external
"""
"""Long messages are not compressed: they are read once."""

PEEK = """
insert into {decoded} (n, xid, kind, relid, message)
select n, {upcoming} + (xid::text::bigint - {upcoming} % 4294967296 + 6442450944) % 4294967296 - 2147483648,
       chr(get_byte(data, 0))::"char", {relid}::oid, data
from {quiet} cross join lateral pg_logical_slot_peek_binary_changes(
    {slot}, {until}, nullif(word, word)::int, 'proto_version', '1', 'publication_names', {publication})
    with ordinality x(lsn, xid, data, n)
where get_byte(data, 0) in (68, 73, 82, 84, 85)
"""
"""Of deletes, inserts, relations, truncates and updates. An id has 32 bits there; it is the one nearest to the next."""

STANDING = """
select written::text, flushed::text, flushed >= written,
       (select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s)
from (select pg_current_wal_insert_lsn() as written, pg_current_wal_flush_lsn() as flushed offset 0) x
"""
"""Each place is asked for once: the WAL goes on between one look and the next."""

TOLD = """
select relid::bigint, bool_or({has_old}),
       min(n) filter (where kind <> 'R') < coalesce(min(n) filter (where kind = 'R'), 9223372036854775807)
from {decoded} where kind <> 'T' group by 1
"""
"""Of each table, whether there are messages with two rows, and whether there is a change that no layout precedes.

Whatever the reason for that may be, such a change must not be passed over in silence.
"""

FAR = 2**20
"""Bytes of WAL without a change of ours after which the slot goes on all the same, and of those that are read again."""

MARKS_SINCE = 160000
MAY_MARK = "select has_function_privilege('pg_log_standby_snapshot()', 'execute')"
"""Since then a role may have a record of running transactions written; else the server writes one in its own time."""

REFUSED = (psycopg.errors.NotNullViolation, psycopg.errors.DataError)


class Decoder:
    """What one session decodes of an install's logs. The connection is in autocommit.

    flush: brings to disk what was committed; without, what is not there yet is left for later.
    """

    def __init__(self, connection: Connection, install: Install, flush: Callable[[], None] | None = None) -> None:
        self._connection, self._install = connection, install
        self._may_mark = connection.info.server_version >= MARKS_SINCE and bool(fetch_one(connection, MAY_MARK)[0])
        self._slot, self._quiet = slot.name(connection, install), slot.quiet(connection)
        self._flush = flush
        self._keys = Keys(install.schema)
        self._from = self._until = ""
        self._locked = self._clean = False
        self.rows = 0  # changes that were decoded
        self.seconds = 0.0
        if not fetch_one(connection, "select to_regclass('pg_temp.pgherd_decoded') is not null")[0]:
            connection.execute(CREATE)

    @property
    def changed(self) -> frozenset[int]:
        """The oids of the tables of which something was decoded."""
        return frozenset(self._keys.stretches)

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
        _, flushed, durable, confirmed = self._standing()
        if confirmed is None:
            raise self._lost()
        self._from = confirmed
        if not durable and self._flush:
            self._flush()
            flushed = self._standing()[1]
        self.forget()
        if flushed != self._until or not self._clean:
            self._fill(upcoming, flushed)
        self._until, self._clean = flushed, not self.rows
        self.seconds = time.monotonic() - began

    def forget(self) -> None:
        """Drop what was decoded, whenever that was: where a transaction was rolled back, so was its forgetting."""
        self._connection.execute(sql.SQL("delete from {}").format(DECODED))
        self.rows, self._keys = 0, Keys(self._install.schema)

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
        ).format(keys, log, self._keys.changes(captured), condition or sql.SQL("true"))

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

    def _standing(self) -> tuple[str, str, bool, str | None]:
        """Up to where the WAL is written and flushed, whether that is all the same, and where the slot is, if it is."""
        written, flushed, durable, confirmed = fetch_one(self._connection, STANDING, [self._slot], prepare=True)
        return written, flushed, durable, confirmed

    def _fill(self, upcoming: int, until: str) -> None:
        query = sql.SQL(PEEK).format(
            decoded=DECODED,
            relid=messages.number("data", "1"),
            quiet=self._quiet,
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
        asked = sql.SQL(TOLD).format(has_old=sql.SQL(HAS_OLD), decoded=DECODED)
        told = self._connection.execute(asked).fetchall()
        if any(untold for _, _, untold in told):
            raise Transient("a change was decoded without the layout of its table; decoding anew by another session.")
        pairs = frozenset(int(relid) for relid, paired, _ in told if paired)
        stretches: dict[int, list[Stretch]] = {}
        query = sql.SQL("select n, xid, kind::text, message from {} where kind in ('R', 'T') order by n")
        for n, xid, kind, message in self._connection.execute(query.format(DECODED)).fetchall():
            if kind == "R":
                self.rows -= 1
                layout = messages.layout(message)
                former = stretches.setdefault(layout.relid, [])
                if former:
                    former[-1] = Stretch(former[-1].layout, former[-1].first, n)
                former.append(Stretch(layout, n))
                continue
            for relid in messages.truncated(message):
                stretches.setdefault(relid, [])
                self._connection.execute(
                    sql.SQL("insert into {} (n, xid, kind, relid) values (%s, %s, 'E', %s)").format(DECODED),
                    [n, xid, relid],
                )
        self._keys = Keys(self._install.schema, stretches, pairs)

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
        advance = sql.SQL("select pg_replication_slot_advance(%s, %s::pg_lsn) from {}").format(self._quiet)
        self._connection.execute(advance, [self._slot, self._until])
        failpoint("decode.after-advance")
        self._begin_nearer()

    def _begin_nearer(self) -> None:
        """Have the server write a record of running transactions, so that decoding begins there one day soon."""
        if self._may_mark:
            query = (
                "select pg_wal_lsn_diff(%s::pg_lsn, restart_lsn) > %s from pg_replication_slots where slot_name = %s"
            )
            if fetch_one(self._connection, query, [self._until, FAR, self._slot])[0]:
                self._connection.execute("select pg_log_standby_snapshot()")

    def _move(self, *, careful: bool) -> None:
        with Transaction(self._connection, "begin isolation level read committed") as moving:
            moving.leave()
            self._connection.execute("set local synchronous_commit = local")  # decoding waits for no standby
            found = [one for one in logs(self._connection, self._install).values() if one.decoded]
            for captured in found:
                if captured.relid in self._keys.stretches:
                    self._move_table(captured, careful=careful)
            failpoint("decode.before-commit")
            self._connection.execute(sql.SQL("truncate {}").format(DECODED))
        self.rows, self._keys, self._clean = 0, Keys(self._install.schema), True

    def _move_table(self, captured: Captured, *, careful: bool) -> None:
        """Move a table's changes. A log in which some of them cannot be is given up: targets copy the table anew."""
        legible = self._keys.legible(captured)
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
                schema, sql.Identifier(captured.log), columns, self._keys.changes(captured)
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
    if not has_schema(connection, install):
        return 0
    if not any(captured.decoded for captured in logs(connection, install).values()):
        return 0
    return Decoder(connection, install).drain()


def seen_by(snapshot: Snapshot) -> sql.Composed:
    """The condition that the transaction of a change `l` was seen by a snapshot."""
    query = sql.SQL("(l.xid < {} and l.xid <> all({}::bigint[]))")
    return query.format(sql.Literal(snapshot.xmax), sql.Literal(sorted(snapshot.xip)))

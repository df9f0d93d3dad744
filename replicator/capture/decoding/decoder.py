"""Decodes what was committed into a table of the session, from where a batch reads it.

A row there is a change: its transaction's 64-bit id, what was done, the table's oid, and pgoutput's message, whose
columns are found by the layout that the stream said before it. To decode is no write that others see; into the logs
`mover` moves it. Whoever does either has the slot to himself meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from psycopg import sql

from replicator.capture.captured import Captured
from replicator.capture.decoding import messages, slot
from replicator.capture.decoding.keys import DECODED, HAS_OLD, Keys, Stretch, stretches
from replicator.errors import Transient
from replicator.model import Install
from replicator.postgres import Connection, affected, fetch_one
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


class Decoder:
    """What one session decodes of an install's logs. The connection is in autocommit.

    flush: brings to disk what was committed; without, what is not there yet is left for later.
    """

    def __init__(self, connection: Connection, install: Install, flush: Callable[[], None] | None = None) -> None:
        self._connection, self._install = connection, install
        self.slot, self.quiet = slot.name(connection, install), slot.quiet(connection)
        self._flush = flush
        self.keys = Keys(install.schema)  # of what was decoded
        self.since = self.until = ""  # the places in the WAL between which it was decoded last
        self._clean = False
        self.rows = 0  # changes that were decoded
        self.seconds = 0.0  # that it took
        if not fetch_one(connection, "select to_regclass('pg_temp.pgherd_decoded') is not null")[0]:
            connection.execute(CREATE)

    @property
    def changed(self) -> frozenset[int]:
        """The oids of the tables of which something was decoded."""
        return frozenset(self.keys.stretches)

    def decode(self, upcoming: int) -> None:
        """Decode what no log has: all that this transaction's snapshot sees of it, and perhaps what came later.

        With the slot locked since before the snapshot. upcoming: the next transaction id to be given out, about.
        Raises Transient when the slot is gone.
        """
        began = time.monotonic()
        _, flushed, durable, confirmed = self._standing()
        if confirmed is None:
            raise self._lost()
        self.since = confirmed
        if not durable and self._flush:
            self._flush()
            flushed = self._standing()[1]
        self.forget()
        if flushed != self.until or not self._clean:
            self._fill(upcoming, flushed)
        self.until, self._clean = flushed, not self.rows
        self.seconds = time.monotonic() - began

    def forget(self) -> None:
        """Drop what was decoded, whenever that was: where a transaction was rolled back, so was its forgetting."""
        self._connection.execute(sql.SQL("delete from {}").format(DECODED))
        self.rows, self.keys = 0, Keys(self._install.schema)

    def note_moved(self) -> None:
        """Note that what was decoded is in the logs, and the session's table empty."""
        self.rows, self.keys, self._clean = 0, Keys(self._install.schema), True

    def confirmed(self) -> str | None:
        """Where the slot is now; None where it is gone."""
        return self._standing()[3]

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
        ).format(keys, log, self.keys.changes(captured), condition or sql.SQL("true"))

    def emptied(self, unseen: sql.Composable) -> dict[int, bool]:
        """Of the tables with changes `l` that meet a condition, whether they were truncated; by oid."""
        query = sql.SQL("select l.relid::bigint, bool_or(l.kind = 'E') from {} l where l.kind <> 'R' and {} group by 1")
        return {int(relid): bool(was) for relid, was in self._connection.execute(query.format(DECODED, unseen))}

    # --- decoding -----------------------------------------------------------------------------------------------

    def _standing(self) -> tuple[str, str, bool, str | None]:
        """Up to where the WAL is written and flushed, whether that is all the same, and where the slot is, if it is."""
        written, flushed, durable, confirmed = fetch_one(self._connection, STANDING, [self.slot], prepare=True)
        return written, flushed, durable, confirmed

    def _fill(self, upcoming: int, until: str) -> None:
        query = sql.SQL(PEEK).format(
            decoded=DECODED,
            relid=messages.number("data", "1"),
            quiet=self.quiet,
            upcoming=sql.Literal(upcoming),
            slot=sql.Literal(self.slot),
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
        return Transient(f"replication slot {self.slot} is gone: the logs that it fed are begun anew.")

    def _read_marks(self) -> None:
        """Read the layouts, and give each table that was truncated a row of its own."""
        paired = self._paired()
        query = sql.SQL("select n, xid, kind::text, message from {} where kind in ('R', 'T') order by n")
        marks = self._connection.execute(query.format(DECODED)).fetchall()
        layouts = [(n, messages.layout(message)) for n, _, kind, message in marks if kind == "R"]
        truncated = [(n, xid, messages.truncated(message)) for n, xid, kind, message in marks if kind == "T"]
        emptied = [(n, xid, relid) for n, xid, relids in truncated for relid in relids]
        self.rows -= len(layouts)
        insert = sql.SQL("insert into {} (n, xid, kind, relid) values (%s, %s, 'E', %s)").format(DECODED)
        for row in emptied:
            self._connection.execute(insert, row)
        without: dict[int, list[Stretch]] = {relid: [] for _, _, relid in emptied}
        self.keys = Keys(self._install.schema, without | stretches(layouts), paired)

    def _paired(self) -> frozenset[int]:
        """The oids of the tables with messages of two rows. Raises Transient where a change has no layout."""
        asked = sql.SQL(TOLD).format(has_old=sql.SQL(HAS_OLD), decoded=DECODED)
        told = self._connection.execute(asked).fetchall()
        if any(untold for _, _, untold in told):
            raise Transient("a change was decoded without the layout of its table; decoding anew by another session.")
        return frozenset(int(relid) for relid, paired, _ in told if paired)


def seen_by(snapshot: Snapshot) -> sql.Composed:
    """The condition that the transaction of a change `l` was seen by a snapshot."""
    query = sql.SQL("(l.xid < {} and l.xid <> all({}::bigint[]))")
    return query.format(sql.Literal(snapshot.xmax), sql.Literal(sorted(snapshot.xip)))

"""Moves what was decoded into the persistent logs, in a transaction of its own, and then the slot on.

Until both are done the slot gives the same changes again. A log in which some of them cannot be kept is given up, and
begun anew by whoever reads it. Decoding, and the table of the session, are `decoder`'s.
"""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

from replicator.capture.captured import Captured, logs
from replicator.capture.decoding import slot
from replicator.capture.decoding.decoder import Decoder
from replicator.capture.decoding.keys import DECODED
from replicator.capture.dropping import drop_log
from replicator.capture.schema import has_schema
from replicator.failpoint import failpoint
from replicator.logs import log
from replicator.model import Install
from replicator.postgres import Connection, Transaction, fetch_one

FAR = 2**20
"""Bytes of WAL without a change of ours after which the slot goes on all the same, and of those that are read again."""

MARKS_SINCE = 160000
MAY_MARK = "select has_function_privilege('pg_log_standby_snapshot()', 'execute')"
"""Since then a role may have a record of running transactions written; else the server writes one in its own time."""

REFUSED = (psycopg.errors.NotNullViolation, psycopg.errors.DataError)


class Mover:
    """Moves what a decoder has decoded, on its connection."""

    def __init__(self, connection: Connection, install: Install, decoder: Decoder) -> None:
        self._connection, self._install, self._decoder = connection, install, decoder
        self._may_mark = connection.info.server_version >= MARKS_SINCE and bool(fetch_one(connection, MAY_MARK)[0])
        self.seconds = 0.0  # that `keep` took

    def keep(self) -> None:
        """Move what was decoded into the logs, and the slot on. Not in a transaction, and with the slot not locked."""
        self.seconds = 0.0
        if not self._decoder.rows and not self._far():
            return
        began = time.monotonic()
        with slot.locked(self._connection, self._install):
            # Else another session has, and what came after that comes again.
            if self._decoder.confirmed() == self._decoder.since:
                self._store()
        self.seconds = time.monotonic() - began

    def drain(self) -> int:
        """Decode, and move it into the logs at once; how many changes there were."""
        with slot.locked(self._connection, self._install):
            upcoming = fetch_one(self._connection, "select txid_snapshot_xmax(txid_current_snapshot())")[0]
            self._decoder.decode(upcoming)
            found = self._decoder.rows
            if found or self._far():
                self._store()
        return found

    def _far(self) -> bool:
        query = "select pg_wal_lsn_diff(%s::pg_lsn, %s::pg_lsn)"
        return bool(fetch_one(self._connection, query, [self._decoder.until, self._decoder.since])[0] > FAR)

    def _store(self) -> None:
        if self._decoder.rows:
            try:
                self._move(careful=False)
            except REFUSED:
                self._move(careful=True)
        failpoint("decode.before-advance")
        advance = sql.SQL("select pg_replication_slot_advance(%s, %s::pg_lsn) from {}").format(self._decoder.quiet)
        self._connection.execute(advance, [self._decoder.slot, self._decoder.until])
        failpoint("decode.after-advance")
        self._begin_nearer()

    def _begin_nearer(self) -> None:
        """Have the server write a record of running transactions, so that decoding begins there one day soon."""
        if self._may_mark:
            query = (
                "select pg_wal_lsn_diff(%s::pg_lsn, restart_lsn) > %s from pg_replication_slots where slot_name = %s"
            )
            if fetch_one(self._connection, query, [self._decoder.until, FAR, self._decoder.slot])[0]:
                self._connection.execute("select pg_log_standby_snapshot()")

    # --- into the logs ------------------------------------------------------------------------------------------

    def _move(self, *, careful: bool) -> None:
        with Transaction(self._connection, "begin isolation level read committed") as moving:
            moving.leave()
            self._connection.execute("set local synchronous_commit = local")  # decoding waits for no standby
            found = [one for one in logs(self._connection, self._install).values() if one.decoded]
            for captured in found:
                if captured.relid in self._decoder.keys.stretches:
                    self._move_table(captured, careful=careful)
            failpoint("decode.before-commit")
            self._connection.execute(sql.SQL("truncate {}").format(DECODED))
        self._decoder.note_moved()

    def _move_table(self, captured: Captured, *, careful: bool) -> None:
        """Move a table's changes. A log in which some of them cannot be is given up: targets copy the table anew."""
        legible = self._decoder.keys.legible(captured)
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
                schema, sql.Identifier(captured.log), columns, self._decoder.keys.newest(captured)
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
    return Mover(connection, install, Decoder(connection, install)).drain()

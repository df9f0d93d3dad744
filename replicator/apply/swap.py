"""Writes a batch of one master's changes on another, where applications and other masters write too.

Most batches meet nothing, and are written ahead of any judging (`ahead`); step 5 is all that is left to do then. For
the others the order of steps is what makes it right:

1. lock the target's rows of the staged keys, in key order; from here no other writer gets past us on those;
2. in a *new* statement, see where each version stands to the newest one of its key in the target's own log, and have
   conflicts decided (`meeting`); losers leave the stage;
3. counters: what is staged becomes what is there plus what was gained (`counters`);
4. write. A key that has no row here cannot be locked: it is inserted with ON CONFLICT DO NOTHING, and if someone was
   first, or wrote and deleted it meanwhile, the whole batch is done again. For a deletion of a key that is not here
   there is not even that, so writers are kept out of the table from step 1 to the end of the batch;
5. log what was written, with its version and its author, and raise the floor if a version lies ahead of this clock.
"""

from __future__ import annotations

from typing import LiteralString

from psycopg import sql

from replicator.apply import ahead, collision, counters, diff, meeting, onward, write
from replicator.apply.arrival import Arrival
from replicator.change import Counts
from replicator.errors import LockedOut
from replicator.failpoint import failpoint
from replicator.postgres import fetch_one


def write_resolved(arrival: Arrival, *, careful: bool = False) -> Counts:
    """Apply what is staged and log it. Raises LockedOut when another writer was quicker."""
    if not arrival.stage.relation.key:
        return _insert_rows(arrival, careful=careful)
    swap = _Swap(arrival)
    failpoint("lock.before-rows")
    counts = None if careful else ahead.write_ahead(arrival)
    if counts is None:
        counts = _judge_and_write(swap, arrival, careful=careful)
    failpoint("apply.after-rows")
    swap.note()
    failpoint("apply.after-log")
    return counts


def _judge_and_write(swap: _Swap, arrival: Arrival, *, careful: bool) -> Counts:
    """Steps 1 to 4."""
    alone = swap.lock(careful=careful)
    failpoint("lock.after-rows")
    conflicts = meeting.resolve(arrival, everywhere=swap.all_present)
    if arrival.stage.gains:
        counters.add_up(arrival, everywhere=swap.all_present)
        failpoint("count.after-adding")
        if careful:
            counters.leave_absolute(arrival)
    if careful and not arrival.stage.text:
        conflicts += collision.settle(arrival)
    failpoint("apply.before-rows")
    if alone:
        counts = write.write(arrival.connection, arrival.link, arrival.stage, careful=careful)()
    else:
        counts = swap.write()
        swap.check_nobody_came()
    return counts + conflicts


def _insert_rows(arrival: Arrival, *, careful: bool) -> Counts:
    """Rows of a table without a key meet no other: they are inserted, and logged for those who read on from here."""
    connection, link, stage = arrival.connection, arrival.link, arrival.stage
    if careful:
        counts = diff.insert_carefully(connection, link, stage)
    else:
        counts = Counts(inserted=connection.execute(stage.insert).rowcount)
    onward.note_touched(connection, link, stage)
    return counts


class _Swap:
    """One table of a batch on its way in."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._connection, self._stage = arrival.connection, arrival.stage
        self.all_present = False

    def lock(self, *, careful: bool) -> bool:
        """Lock what is staged: its rows, or the whole table where rows are not enough; whether it was the table.

        The table is locked before any row, so as not to hold what its writers wait for; only if a look at first costs
        a pass over a large stage, most of which needs no lock on the table, are the rows locked before it.
        """
        alone = careful or self._stage.replaces
        if not alone and self._arrival.wary:
            alone = self.deletes_unknown()
        if not alone:
            self.lock_rows()
            alone = not self.all_present and not self._arrival.wary and self.deletes_unknown()
            if not alone:
                return False
        self.keep_writers_out()
        self.lock_rows()
        return True

    def deletes_unknown(self) -> bool:
        """Whether a deletion is staged of a key that has no row here."""
        query = (
            "select exists (select from {stage} s where s.gone and not exists (select from {table} t where {match}))"
        )
        return bool(fetch_one(self._connection, self._arrival.compose(query))[0])

    def keep_writers_out(self) -> None:
        """Let nobody else write to the table until this transaction ends."""
        self._arrival.execute("lock table {name} in share row exclusive mode")

    def lock_rows(self) -> None:
        """Lock the rows that are here, in key order, and mark those that are where some are not.

        A stage of which all rows are here, as most are, need not be written again.
        """
        keys = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(n)) for n in self._stage.relation.key)
        query = self._arrival.compose(
            "with here as (select s.ctid from {table} t join {stage} s on {match} order by {keys} for update of t)"
            " select count(*), (select count(*) from {stage}) from here",
            keys=keys,
        )
        here, staged = fetch_one(self._connection, query)
        self.all_present = here == staged
        if here and not self.all_present:
            self._arrival.execute(
                "update {stage} s set present = true from {table} t where {match}",
            )

    def write(self) -> Counts:
        """Write what is left. Raises LockedOut when a key that was not here has come."""
        query = (
            "select count(*) filter (where gone), count(*) filter (where not gone and (present or {all})),"
            " count(*) filter (where not gone and present is null and not {all}) from {stage}"
        )
        all_present = sql.Literal(self.all_present)
        gone, present, absent = fetch_one(self._connection, self._arrival.compose(query, all=all_present))
        here: LiteralString = "" if self.all_present else " and s.present"
        deleted = write.delete_gone(self._connection, self._stage, here)() if gone else 0
        updated = write.update_matched(self._connection, self._stage, here)() if present else 0
        return Counts(inserted=self._insert(absent) if absent else 0, updated=updated, deleted=deleted)

    def _insert(self, expected: int) -> int:
        inserted = ahead.insert_absent(self._arrival, sql.SQL("s.present is null"))
        if inserted != expected:
            raise self._too_late()
        return inserted

    def check_nobody_came(self) -> None:
        """Raise LockedOut if a change of a key that was not here was logged since the rivals were read."""
        if self.all_present:
            return
        query = (
            "select exists (select from {stage} s join {log} l on {of_log}"
            " where s.present is null and l.seq > coalesce(s.newest, 0))"
        )
        if fetch_one(self._connection, self._arrival.compose(query))[0]:
            raise self._too_late()

    def _too_late(self) -> LockedOut:
        return LockedOut(f"{self._arrival.link}: {self._stage.relation.name}: another writer was quicker.")

    def note(self) -> None:
        """Log what was written with its version and author, and keep the floor above every version.

        In the keys' order: the log's index by key costs most of it, and half as much so. Where that is enough, only
        what is in the log already, or settles a conflict; the log is looked into for all once it is seen that it holds
        anything.
        """
        arrival, stage = self._arrival, self._stage
        gains = counters.gains_of(arrival)
        needed = arrival.compose(
            " where s.anew is not null"
            " or ((select exists (select from {log})) and exists (select from {log} l where {of_log}))"
        )
        arrival.execute(
            "with noted as (insert into {log} ({columns}, changed_at, origin, op, onward, author, source_xid{logged})"
            " select {values}, coalesce(s.anew, s.at, clock_timestamp()), case when s.anew is null then {origin} end,"
            " {op}, {onward} or s.anew is not null, s.author, case when s.anew is null then s.xid end{gained}"
            " from {stage} s{needed} order by {values}),"
            " latest as (select max(coalesce(s.anew, s.at)) as at from {stage} s where s.op <> '+')"
            " update {node} set floor = latest.at from latest where {ahead}latest.at > floor",
            # A note lets what is written after it be later, were the clock set back; without one the floor must.
            ahead=sql.SQL("" if arrival.silent else "latest.at > clock_timestamp() and "),
            columns=sql.SQL(", ").join(arrival.columns),
            values=sql.SQL(", ").join(stage.value(name) for name in stage.relation.key),
            origin=sql.Literal(arrival.link.source.id),
            # Who settles a conflict about a row that is here has not made it: others' parts of its counters are theirs.
            op=sql.SQL("case when s.anew is not null and s.op = 'I' and {} then 'U' else s.op end").format(
                sql.SQL("true" if self.all_present else "coalesce(s.present, false)")
            )
            if stage.gains
            else sql.SQL("s.op"),
            onward=sql.Literal(arrival.link.onward),
            needed=needed if arrival.silent else sql.SQL(""),
            logged=sql.Composed([sql.SQL(", {}").format(logged) for logged, _ in gains]),
            gained=sql.Composed([sql.SQL(", {}").format(gained) for _, gained in gains]),
        )
        onward.note_touched(arrival.connection, arrival.link, stage)

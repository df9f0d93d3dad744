"""Writes a batch of one master's changes on another, where applications write too.

The order of steps is what makes it right:

1. lock the target's rows of the staged keys, in key order; from here no local writer gets past us on those;
2. in a *new* statement, read the latest version of each key in the target's own log. A local change that the source
   had not seen (its position does not cover it) is a rival: `conflict` decides, and losers leave the stage;
3. write. A key that has no row here cannot be locked: it is inserted with ON CONFLICT DO NOTHING, and if someone was
   first, or wrote and deleted it meanwhile, the whole batch is done again. For a deletion of a key that is not here
   there is not even that, so writers are kept out of the table for the rest of the batch;
4. log what was written, with its version and its author, and raise the floor if a version lies ahead of this clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from psycopg.rows import TupleRow

from replicator.apply import park, write
from replicator.apply.stage import Stage
from replicator.capture import Captured
from replicator.capture.read import unseen
from replicator.change import Counts
from replicator.conflict import Version
from replicator.errors import LockedOut
from replicator.model import Link
from replicator.postgres import Connection, fetch_one
from replicator.snapshot import Snapshot

DECIDED_AT_ONCE = 5000


def write_resolved(
    connection: Connection, link: Link, stage: Stage, log: Captured, seen: Snapshot, lead: int, *, careful: bool = False
) -> Counts:
    """Apply what is staged and log it.

    log: the target's own log of the table. seen: what the source had seen of the target when the batch was read.
    lead: the node of the sync's source. Raises LockedOut when a local writer was quicker.
    """
    swap = _Swap(connection, link, stage, log)
    alone = careful or stage.replaces or swap.deletes_unknown()
    if alone:
        swap.keep_writers_out()
    swap.lock_rows()
    conflicts = swap.resolve(seen, lead)
    if alone:
        counts = write.write(connection, link, stage, careful=careful)
        park.forget_parked(connection, link, stage)
    else:
        counts = swap.write()
        swap.check_nobody_came()
    swap.note()
    return counts + Counts(conflicts=conflicts)


class _Swap:
    """One table of a batch on its way in."""

    def __init__(self, connection: Connection, link: Link, stage: Stage, log: Captured) -> None:
        self._connection = connection
        self._link = link
        self._stage = stage
        self._log = sql.Identifier(link.install.schema, log.log)
        self._columns = [sql.Identifier(f"k{i + 1}") for i in range(len(log.key))]

    def _execute(self, query: str, **parts: sql.Composable) -> int:
        return self._connection.execute(self._compose(query, **parts)).rowcount

    def _compose(self, query: str, **parts: sql.Composable) -> sql.Composed:
        stage = self._stage
        return sql.SQL(query).format(
            table=stage.relation.rows,
            name=stage.relation.identifier,
            stage=stage.table,
            match=stage.match,
            log=self._log,
            of_log=self._match_log(),
            node=sql.Identifier(self._link.install.schema, "node"),
            **parts,
        )

    def _match_log(self) -> sql.Composed:
        """That log row `l` is of staged row `s`."""
        stage = self._stage
        triples = zip(self._columns, stage.relation.key, stage.relation.equal, strict=True)
        return sql.SQL(" and ").join(
            sql.SQL("l.{} {} {}").format(column, equal.as_sql(), stage.value(name)) for column, name, equal in triples
        )

    def deletes_unknown(self) -> bool:
        """Whether a deletion is staged of a key that has no row here."""
        query = (
            "select exists (select from {stage} s where s.gone and not exists (select from {table} t where {match}))"
        )
        return bool(fetch_one(self._connection, self._compose(query))[0])

    def keep_writers_out(self) -> None:
        """Let nobody else write to the table until this transaction ends."""
        self._execute("lock table {name} in share row exclusive mode")

    def lock_rows(self) -> None:
        """Lock the rows that are here, in key order, and mark them."""
        keys = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(n)) for n in self._stage.relation.key)
        self._execute(
            "with here as (select s.ctid as id from {table} t join {stage} s on {match} order by {keys}"
            " for update of t) update {stage} s set present = true from here where s.ctid = here.id",
            keys=keys,
        )

    def resolve(self, seen: Snapshot, lead: int) -> int:
        """Decide the conflicts, note them, and take the losers out of the stage; how many conflicts there were."""
        # A rival is the newest of the key's log rows when that is local and unseen: nothing that arrived came after it.
        self._execute(
            "update {stage} s set newest = r.seq, rival = r.origin is null and {unseen}, local_op = r.op"
            " from (select distinct on (s.ctid) s.ctid as id, l.seq, l.origin, l.xid, l.op from {stage} s"
            " join {log} l on {of_log} order by s.ctid, l.seq desc) r where s.ctid = r.id",
            unseen=unseen("r.xid", seen),
        )
        conflicts = 0
        with self._connection.cursor() as cursor:
            cursor.execute(
                self._compose(
                    "select s.ctid::text, s.at, max(l.changed_at) from {stage} s join {log} l on {of_log}"
                    " where s.rival group by s.ctid, s.at"
                )
            )
            while rows := cursor.fetchmany(DECIDED_AT_ONCE):
                conflicts += len(rows)
                self._decide(rows, lead)
        return conflicts

    def _decide(self, rows: Sequence[TupleRow], lead: int) -> None:
        link = self._link
        wins = [
            incoming_wins(link.sync.strategy, Version(at, link.source.id), Version(local_at, link.target.id), lead)
            for _, at, local_at in rows
        ]
        self._ledger(rows, wins)
        losers = [row[0] for row, won in zip(rows, wins, strict=True) if not won]
        if losers:
            self._execute("delete from {stage} s where s.ctid = any({ids}::tid[])", ids=sql.Literal(losers))

    def _ledger(self, rows: Sequence[TupleRow], wins: Sequence[bool]) -> None:
        """Note conflicts with both images, before the loser is gone."""
        link, stage = self._link, self._stage
        local = [sql.SQL("({0}, to_jsonb(t.{1}))").format(sql.Literal(n), sql.Identifier(n)) for n in stage.names]
        self._execute(
            "insert into {ledger} (sync, schema_name, table_name, key, source, incoming_op, incoming_at, incoming_row,"
            " local_op, local_at, local_row, incoming_wins, rule)"
            " select {sync}, {schema}, {table_name}, {key}, {source}, s.op, s.at, case when not s.gone then {row} end,"
            " s.local_op, d.local_at, case when t.{first} is not null then"
            " (select jsonb_object_agg(x.k, x.v) from (values {local}) x(k, v)) end, d.wins, {rule}"
            " from unnest({ids}::text[], {times}::timestamptz[], {wins}::boolean[]) d(id, local_at, wins)"
            " join {stage} s on s.ctid = d.id::tid left join {table} t on {match}",
            ledger=sql.Identifier(link.install.schema, "conflict"),
            sync=sql.Literal(link.sync.name),
            schema=sql.Literal(stage.relation.name.schema),
            table_name=sql.Literal(stage.relation.name.name),
            key=stage.key_json,
            source=sql.Literal(link.source.name),
            row=stage.row_json,
            first=sql.Identifier(stage.relation.key[0]),
            local=sql.SQL(", ").join(local),
            rule=sql.Literal(str(link.sync.strategy)),
            ids=sql.Literal([row[0] for row in rows]),
            times=sql.Literal([row[2] for row in rows]),
            wins=sql.Literal(list(wins)),
        )

    def write(self) -> Counts:
        """Write what is left. Raises LockedOut when a key that was not here has come."""
        total, gone = write.staged(self._connection, self._stage)
        deleted = write.delete_gone(self._connection, self._stage, " and s.present") if gone else 0
        updated = write.update_matched(self._connection, self._stage, " and s.present") if total > gone else 0
        return Counts(inserted=self._insert_absent(), updated=updated, deleted=deleted)

    def _insert_absent(self) -> int:
        absent = "select count(*) from {stage} s where not s.gone and s.present is null"
        expected = int(fetch_one(self._connection, self._compose(absent))[0])
        if not expected:
            return 0
        inserted = self._execute(
            "{insert} where not s.gone and s.present is null on conflict ({keys}) do nothing",
            insert=self._stage.insert,
            keys=sql.SQL(", ").join(sql.Identifier(name) for name in self._stage.relation.key),
        )
        if inserted != expected:
            raise self._too_late()
        return inserted

    def check_nobody_came(self) -> None:
        """Raise LockedOut if a local change of a key that was not here was logged since the rivals were read."""
        query = (
            "select exists (select from {stage} s join {log} l on {of_log}"
            " where s.present is null and l.origin is null and l.seq > coalesce(s.newest, 0))"
        )
        if fetch_one(self._connection, self._compose(query))[0]:
            raise self._too_late()

    def _too_late(self) -> LockedOut:
        return LockedOut(f"{self._link}: {self._stage.relation.name}: a local writer was quicker.")

    def note(self) -> None:
        """Log what was written with its version and author, and keep the floor above every version."""
        link = self._link
        columns = sql.SQL(", ").join(self._columns)
        values = sql.SQL(", ").join(self._stage.value(name) for name in self._stage.relation.key)
        self._execute(
            "insert into {log} ({columns}, changed_at, origin, op, onward)"
            " select {values}, s.at, {origin}, s.op, {onward} from {stage} s",
            columns=columns,
            values=values,
            origin=sql.Literal(link.source.id),
            onward=sql.Literal(link.sync.makedelta),
        )
        self._execute(
            "update {node} set floor = x.at from (select max(at) as at from {stage}) x"
            " where x.at > clock_timestamp() and x.at > floor"
        )

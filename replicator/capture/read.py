"""Reads batches from a node's change logs: which tables changed between two snapshots, and their rows.

All of a batch is read in one REPEATABLE READ transaction, so it is the state at that transaction's snapshot: a row
that changed ten thousand times travels once, and a key without a row is a deletion. A log row belongs to the batch
when the position's snapshot did not see its transaction; written as ids so that the log's index finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import LiteralString

from psycopg import Cursor, IsolationLevel, RawCursor, sql
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from replicator.capture.captured import Captured
from replicator.capture.needs import Kind
from replicator.capture.triggers import gain
from replicator.model import Link, TableName
from replicator.postgres import WAYS, Answer, Connection, Transaction, affected, fetch_one
from replicator.question import Question
from replicator.relations import Relation
from replicator.snapshot import Snapshot

CHANGED_AT_ONCE = 200

MEETING = ("at", "op", "author", "xid")
"""What a swap's rows bring besides their values: a version's time, what was done last, whose row it is, and in which
transaction that was."""

NEWEST = "l.op, l.author, l.xid, l.origin is null as own"
NEWEST_VERSION = (
    "case when l.op <> '+' then l.op end as op, case when l.op <> '+' then l.author end as author,"
    " case when l.op <> '+' then l.xid end as xid, (l.origin is null or l.op = '+') as own"
)
"""What is read of the first of a key's log rows, by age; with counters versions come first, and there may be none. As a
column of its own `own` is reckoned to hold for half of them; as a condition the planner would take it for rare."""


UNSEEN = "(l.xid >= $1::bigint or l.xid = any($2::bigint[]))"
"""As `unseen` has it, of a position that is given by parameters."""

LOOK = """
select (last_value + is_called::int)::text, txid_current_snapshot()::text, age('3'::xid)::text from {schema}.seq
"""
"""What a look at a source asks. A sequence that was never used shows the value that it will give first: is_called tells
the two apart. What is numbered has an id by then, so the next id is asked last. age() is the distance to that; ids are
32 bits there, and it has no other name.
"""

DURABLE: LiteralString = (
    "txid_status({newest}) = 'committed' and pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()"
)
"""Whether a transaction, and all that was written before this question, is on disk."""

OPENED = """
select looked.*, {durable},
       (select count(set_config('enable_' || way, 'off', true)) from unnest({ways}::text[]) way)
from ({look}) looked, txid_current_snapshot() s
"""
"""A look, of which the snapshot bounds the batch, and whether that is durable; from here on as
`postgres.expect_few_rows` has it."""


@dataclass(frozen=True)
class Probe:
    """A cheap look at a node. seq: grows with every logged change, committed or not.

    upcoming: the next transaction id to be given out. A snapshot's xmax is lower while the latest ids are in progress.
    """

    seq: int
    snapshot: Snapshot
    upcoming: int


@dataclass(frozen=True)
class Opened:
    """A batch's transaction as it begins. probe: its snapshot, and what had been logged a moment after that.

    durable: no crash of the source can undo what the snapshot sees (`Source.is_durable`).
    """

    probe: Probe
    durable: bool

    @property
    def snapshot(self) -> Snapshot:
        """What bounds the batch."""
        return self.probe.snapshot


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The changes of one table in a batch. since: what the target has. truncated: it was emptied in between.

    had: what the target has of the third masters of a swap, by their numbers. by_parameters: queries do not say since
    when, but take it as `parameters`.
    """

    relation: Relation
    captured: Captured
    since: Snapshot
    truncated: bool = False
    had: Mapping[int, Snapshot] = field(default_factory=dict)
    by_parameters: bool = False

    @property
    def parameters(self) -> tuple[object, ...]:
        """What $1 and $2 stand for: the ids that its position has not seen."""
        return self.since.xmax, sorted(self.since.xip)


def carried(link: Link) -> LiteralString:
    """Which rows `l` of its source's log a link brings to its target.

    Between masters what was written there itself. To a slave of a swap all that happened to the rows: it may have
    followed another lead until now, so that nothing of this log was meant for it when it was written.
    """
    if link.mutual:
        return "l.origin is null"
    return "true" if link.led else "l.onward"


class Source:
    """The reading side of one link, over a connection of its own in autocommit. Between masters rows have versions."""

    def __init__(self, connection: Connection, link: Link) -> None:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        self.connection = connection
        self._install = link.install
        self._authored = link.mutual
        self._carried = carried(link)
        look = sql.SQL(LOOK).format(schema=sql.Identifier(self._install.schema))
        self._look = Question(connection, look.as_string())
        newest = sql.SQL(DURABLE).format(newest=sql.SQL("txid_snapshot_xmax(s) - 1"))
        self._opened = sql.SQL(OPENED).format(look=look, durable=newest, ways=sql.Literal(list(WAYS))).as_string()
        self._asking: dict[TableName, str] = {}

    def close(self) -> None:
        """Drop the connection."""
        self.connection.close()

    def probe(self) -> Probe:
        """Look whether anything was logged."""
        return _probe(*(value.decode() for value in self._look.ask()))

    @contextmanager
    def batch(self) -> Iterator[tuple[Transaction, Answer[Opened]]]:
        """The transaction whose snapshot bounds the batch, with joins by index, and a probe that goes with it."""
        with Transaction(self.connection, "begin isolation level repeatable read read only") as transaction:
            asked = self.connection.execute(self._opened, prepare=True)

            yield transaction, cache(lambda: opened(asked))

    def is_durable(self, snapshot: Snapshot) -> bool:
        """Whether a crash of the source cannot undo what a snapshot saw, nor hand out its transaction ids again.

        With synchronous_commit off a commit is seen before it is on disk. After a crash its id may be given to another
        transaction, which would then look as if it had been moved already. Inside `batch`.
        """
        query = sql.SQL("select " + DURABLE).format(newest=sql.Literal(snapshot.xmax - 1))
        return bool(fetch_one(self.connection, query)[0])

    def changed(self, deltas: Sequence[Delta]) -> Answer[list[Delta]]:
        """Those of the tables that have changes in the batch, with `truncated` filled in. Inside `batch`."""
        parts = [deltas[start : start + CHANGED_AT_ONCE] for start in range(0, len(deltas), CHANGED_AT_ONCE)]
        asked = [(part, self._ask_changed(part)) for part in parts]
        return lambda: [
            replace(part[number], truncated=truncated) for part, rows in asked for number, truncated in rows
        ]

    def _ask_changed(self, deltas: Sequence[Delta]) -> Cursor[TupleRow]:
        # What varies from batch to batch are parameters: there are few positions, and planning takes longest.
        places = {since: number for number, since in enumerate(dict.fromkeys(delta.since for delta in deltas))}
        logs = tuple((delta.captured, places[delta.since]) for delta in deltas)
        values: dict[str, object] = {f"xmax{number}": since.xmax for since, number in places.items()}
        values |= {f"running{number}": sorted(since.xip) for since, number in places.items()}
        query = changed_query(self._install.schema, logs, self._carried)
        return self.connection.execute(query, values, prepare=True)

    def ask_rows(self, delta: Delta, columns: Sequence[str], most: int) -> Answer[PGresult]:
        """What `rows` says, up to so many, in text form: a prepared question, which goes with others.

        Not for a table with counters in a swap, whose query is never the same.
        """
        name = delta.relation.name
        if name not in self._asking:
            rows = self.rows(replace(delta, by_parameters=True), columns)
            self._asking[name] = sql.SQL("select * from ({}) x limit {}").format(rows, sql.Literal(most)).as_string()
        cursor = RawCursor(self.connection)
        cursor.execute(self._asking[name], delta.parameters, prepare=True)
        return result_of(cursor)

    def _log(self, captured: Captured) -> sql.Composable:
        return sql.Identifier(self._install.schema, captured.log)

    def _in_batch(self, delta: Delta) -> sql.Composed:
        since = sql.SQL(UNSEEN) if delta.by_parameters else unseen("l.xid", delta.since)
        return sql.SQL("({} and {})").format(since, sql.SQL(self._carried))

    def rows(
        self, delta: Delta, columns: Sequence[str], retry: Sequence[str] = (), *, text: bool = False
    ) -> sql.Composed:
        """The query of a table's part of the batch: gone, columns ..., and for a swap what `MEETING` names; then what
        each counter gained, how much of it (in a row made anew) others had gained, and whether the target has yet to
        see the row made (`conflict.early`). Of a change that only counters saw, no time.

        columns: names, in the order wanted. retry: further keys, as JSON objects; they come even if nobody remembers
        a change of theirs, then as of 1970. text: every value as text.
        """
        if not delta.relation.key:
            return self._whole_rows(delta, columns, text=text)
        relation = delta.relation
        keys = {name: sql.Identifier(f"k{i + 1}") for i, name in enumerate(delta.captured.key)}
        values: list[sql.Composable] = [self._value(relation, name, keys.get(name), text) for name in columns]
        if self._authored:
            values += self._meeting(delta, again=bool(retry))
        gone = sql.SQL("t.{} is null").format(sql.Identifier(relation.key[0]))
        return sql.SQL("{with_} select {gone}, {values} from changed k left join {table} t on {match}{where}").format(
            with_=self._changed_keys(delta, retry),
            gone=sql.SQL("({})::text").format(gone) if text else gone,
            values=sql.SQL(", ").join(values),
            table=relation.rows,
            match=match(relation, "t", "k", keys),
            where=sql.SQL(" where {}").format(self._to_send(delta, again=bool(retry)))
            if self._authored
            else sql.SQL(""),
        )

    def _meeting(self, delta: Delta, *, again: bool) -> list[sql.Composable]:
        """What another master needs to judge by."""
        gains = delta.captured.counters
        at: LiteralString = "coalesce(k.at, 'epoch')" if again else "k.at"
        if gains:
            at = f"case when k.versioned and k.own then {at} end"
        words: list[sql.Composable] = [sql.SQL(at), *(sql.Identifier("k", name) for name in MEETING[1:])]
        if gains:
            # Of a part that its maker sends though another has changed the row since: when it was made.
            words[3] = sql.SQL("case when k.own then k.xid else k.made_in end")
            # Whatever was done to it since, the target sees it made.
            words[1] = sql.SQL("case when k.g1 is null and k.op <> 'D' then 'I' else {} end").format(words[1])
        if again:
            words[1] = sql.SQL("coalesce({}, 'U')").format(words[1])
        words += [sql.Identifier("k", f"g{i + 1}") for i in range(len(gains))]
        return [*words, *(self._of_others(delta, name) for name in gains), *([sql.SQL("k.early")] if gains else [])]

    def _of_others(self, delta: Delta, counter: str) -> sql.Composable:
        """How much others have gained on a row since it was made here; asked only of rows made anew."""
        return sql.SQL(
            "case when k.g1 is null then (select coalesce(sum(l.{}), 0) from {} l"
            " where {} and l.origin is not null and l.seq > k.made) end"
        ).format(gain(delta.relation, counter), self._log(delta.captured), match_keys(delta.relation, "l", "k"))

    @staticmethod
    def _to_send(delta: Delta, *, again: bool) -> sql.Composable:
        """A key goes out if its newest version was made here: whoever made a newer one sends that. Gains always do,
        and keys to retry: their target may hold some.
        """
        if not delta.captured.counters:
            return sql.SQL("k.own")
        # What its maker has counted on a row is its own to send, also where another has changed the row since.
        made = [sql.SQL("(k.g1 is null and k.made is not null)")] if delta.had else []
        gained = [
            sql.SQL("{} <> 0").format(sql.Identifier("k", f"g{i + 1}")) for i in range(len(delta.captured.counters))
        ]
        held = [sql.SQL("k.again")] if again else []
        return sql.SQL("(k.versioned and k.own) or {}").format(sql.SQL(" or ").join([*gained, *held, *made]))

    def _whole_rows(self, delta: Delta, columns: Sequence[str], *, text: bool) -> sql.Composed:
        """The rows that were inserted into a table without a key."""
        places = {name: sql.Identifier("l", f"k{i + 1}") for i, name in enumerate(delta.captured.key)}
        values = [
            sql.SQL("{}::{}").format(places[name], sql.SQL("text" if text else delta.relation.column(name).stage_type))
            for name in columns
        ]
        return sql.SQL(
            "select {gone}, {values}, l.changed_at, l.op, null::int, null::bigint from {log} l where {mine}"
        ).format(
            gone=sql.SQL("'false'" if text else "false"),
            values=sql.SQL(", ").join(values),
            log=self._log(delta.captured),
            mine=self._in_batch(delta),
        )

    @staticmethod
    def _value(relation: Relation, name: str, key: sql.Identifier | None, text: bool) -> sql.Composed:
        side, column = ("k", key) if key else ("t", sql.Identifier(name))
        kind = "text" if text else relation.column(name).stage_type
        return sql.SQL("{}.{}::{}").format(sql.SQL(side), column, sql.SQL(kind))

    def _changed_keys(self, delta: Delta, retry: Sequence[str]) -> sql.Composed:
        names = sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(len(delta.captured.key)))
        flag = sql.SQL(", false as again" if retry else "")
        distinct = sql.SQL("select distinct {}{} from {} l where {}").format(
            names, flag, self._log(delta.captured), self._in_batch(delta)
        )
        if retry:
            distinct = sql.SQL("select {0}, bool_or(again) as again from ({1} union all {2}) k group by {0}").format(
                names, distinct, self._retry_keys(delta, retry)
            )
        if not self._authored:
            # In the order of keys both ends find a large batch's rows by an index whose pages are at hand.
            return sql.SQL("with changed as ({} order by {})").format(distinct, names)
        counters = bool(delta.captured.counters)
        version: LiteralString = " and l.op <> '+'" if counters else ""
        # One sort finds the newest version of each key and all that its other rows add.
        return sql.SQL(
            "with keys as ({distinct}), changed as (select distinct on ({keys}) {keys}, {newest}, greatest("
            "max(l.changed_at) filter (where l.origin is null{version}) over w,"
            " max(l.changed_at) filter (where l.origin is not null{version}) over w + interval '1 microsecond') as at"
            "{gains}{flag} from keys k {join} {log} l on {match} window w as (partition by {keys} order by {order}"
            " rows between unbounded preceding and unbounded following) order by {keys}, {order})"
        ).format(
            distinct=distinct,
            keys=sql.SQL(", ").join(
                sql.SQL("k.{}" if retry else "l.{}").format(sql.Identifier(f"k{i + 1}"))
                for i in range(len(delta.captured.key))
            ),
            newest=sql.SQL(NEWEST_VERSION if counters else NEWEST),
            version=sql.SQL(version),
            gains=self._gains(delta, retry),
            flag=sql.SQL(", k.again" if retry else ""),
            join=sql.SQL("left join" if retry else "join"),
            order=sql.SQL("(l.op <> '+') desc, l.seq desc" if counters else "l.seq desc"),
            log=self._log(delta.captured),
            match=match_keys(delta.relation, "l", "k"),
        )

    def _gains(self, delta: Delta, retry: Sequence[str]) -> sql.Composable:
        """What a table with counters has besides: whether there is a version to send, and the sums of the gains.

        Of a row that was made anew here there are none: its counters are what they are.
        """
        if not delta.captured.counters:
            return sql.SQL("")
        mine = self._in_batch(delta)
        versioned = sql.SQL("coalesce(bool_or(l.op <> '+' and {}) over w, false)").format(mine)
        if retry:
            versioned = sql.SQL("({} or k.again)").format(versioned)
        anew: LiteralString = (
            "coalesce(bool_or(l.op = 'D' and {0}) over w, false) and first_value(l.origin) over w is null"
            " or coalesce(bool_or(l.op = 'I' and {0}) over w, false){1}"
        )
        by_others = sql.SQL("" if delta.had else " and first_value(l.origin) over w is null")
        sums = [
            sql.SQL(", case when not ({}) then coalesce(sum(l.{}) filter (where {}) over w, 0) end as {}").format(
                sql.SQL(anew).format(mine, by_others), gain(delta.relation, name), mine, sql.Identifier(f"g{i + 1}")
            )
            for i, name in enumerate(delta.captured.counters)
        ]
        return sql.SQL(
            ", max(l.seq) filter (where l.op = 'I' and l.origin is null) over w as made,"
            " max(l.xid) filter (where l.op = 'I' and l.origin is null) over w as made_in,"
            " {} as early, {} as versioned{}"
        ).format(_early(delta), versioned, sql.Composed(sums))

    @staticmethod
    def _retry_keys(delta: Delta, retry: Sequence[str]) -> sql.Composed:
        columns = [
            sql.SQL("(j ->> {})::{}").format(sql.Literal(name), sql.SQL(kind))
            for name, kind in zip(delta.captured.key, delta.captured.types, strict=True)
        ]
        return sql.SQL("select {}, true from unnest({}::jsonb[]) j").format(
            sql.SQL(", ").join(columns), sql.Literal(list(retry))
        )


def opened(asked: Cursor[TupleRow]) -> Opened:
    """The answer to `OPENED`."""
    *look, durable, _ = asked.fetchall()[0]
    return Opened(_probe(*look), durable)


def result_of(cursor: Cursor[TupleRow]) -> Answer[PGresult]:
    """What was asked, as the server sends it."""

    def answer() -> PGresult:
        affected(cursor)
        assert cursor.pgresult
        return cursor.pgresult

    return answer


def _probe(seq: str, text: str, age: str) -> Probe:
    snapshot = Snapshot.parse(text)
    return Probe(int(seq), snapshot, upcoming=snapshot.xmax + (int(age) + 3 - snapshot.xmax) % 2**32)


@lru_cache(maxsize=64)
def changed_query(schema: str, logs: Sequence[tuple[Captured, int]], carried: LiteralString) -> str:
    """The query of which of some logs have something in a batch: a row each of the log's place here, and `truncated`.

    With each log goes a number n: the parameters xmaxN and runningN are the ids that its position has not seen.
    """
    parts = [_changed(schema, place, log, number, carried) for place, (log, number) in enumerate(logs)]
    return sql.SQL(" union all ").join(parts).as_string()


def _changed(schema: str, place: int, log: Captured, number: int, carried: LiteralString) -> sql.Composed:
    def holds(table: str, where: sql.Composable) -> sql.Composed:
        # Each condition by itself, so that a long log is not read beyond its first row.
        return sql.SQL(" or ").join(
            sql.SQL("exists (select from {} l where {} and {} and {})").format(
                sql.Identifier(_twice(schema), _twice(table)), unseen, sql.SQL(carried), where
            )
            for unseen in (
                sql.SQL("l.xid >= {}").format(sql.Placeholder(f"xmax{number}")),
                sql.SQL("l.xid = any({}::bigint[])").format(sql.Placeholder(f"running{number}")),
            )
        )

    truncated: sql.Composable = sql.SQL("false")
    if log.kind is Kind.ROWS and not log.versions:
        of_table = sql.SQL("l.schema_name = {} and l.table_name = {}")
        name = sql.Literal(_twice(log.table.schema)), sql.Literal(_twice(log.table.name))
        truncated = holds("truncated", of_table.format(*name))
    return sql.SQL(
        "select x.n, x.truncated from (select {}::int as n, {} as truncated, {} as changed) x"
        " where truncated or changed"
    ).format(sql.Literal(place), truncated, holds(log.log, sql.SQL("true")))


def _twice(name: str) -> str:
    """A name in a query that is run with parameters, for which the driver looks."""
    return name.replace("%", "%%")


def _early(delta: Delta) -> sql.Composable:
    """`conflict.early`, over the log rows `l` of a key."""
    made = [
        sql.SQL("(l.origin = {} and {})").format(sql.Literal(node), unseen("l.source_xid", seen))
        for node, seen in delta.had.items()
    ]
    if not made:
        return sql.SQL("false")
    # Where the row here lacks its maker's part nothing is known of that. Whatever whole row came later has it.
    return sql.SQL(
        "(coalesce(bool_or((l.op in ('I', 'D') or not l.part) and ({})) over w, false) or coalesce(max(l.seq) filter"
        " (where l.part) over w > coalesce(max(l.seq) filter (where l.part is false or (l.part is null and"
        " l.op in ('I', 'D'))) over w, 0), false))"
    ).format(sql.SQL(" or ").join(made))


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

"""Composes the query of a table's rows in a batch: those of its keys that changed, as they are now.

Nothing is asked here; that is `read`'s. What is about counters comes from `gains`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from replicator.capture.gains import gains, of_others
from replicator.capture.keys import match, match_keys
from replicator.capture.part import Part
from replicator.relations import Relation

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


def rows_query(part: Part, columns: Sequence[str], *, text: bool) -> sql.Composed:
    """A row each: gone, columns ..., and for a swap what `MEETING` names; then what each counter gained, how much of
    it (in a row made anew) others had gained, and whether the target has yet to see the row made (`conflict.early`).
    Of a change that only counters saw, no time.

    columns: names, in the order wanted. text: every value as text. The part's keys to retry come even if nobody
    remembers a change of theirs, then as of 1970.
    """
    relation, captured = part.delta.relation, part.delta.captured
    if not relation.key:
        return _whole_rows(part, columns, text=text)
    keys = {name: sql.Identifier(f"k{i + 1}") for i, name in enumerate(captured.key)}
    values: list[sql.Composable] = [_value(relation, name, keys.get(name), text) for name in columns]
    if part.authored:
        values += _meeting(part)
    gone = sql.SQL("t.{} is null").format(sql.Identifier(relation.key[0]))
    return sql.SQL("{with_} select {gone}, {values} from changed k left join {table} t on {match}{where}").format(
        with_=_changed_keys(part),
        gone=sql.SQL("({})::text").format(gone) if text else gone,
        values=sql.SQL(", ").join(values),
        table=relation.rows,
        match=match(relation, "t", "k", keys),
        where=sql.SQL(" where {}").format(_to_send(part)) if part.authored else sql.SQL(""),
    )


def _meeting(part: Part) -> list[sql.Composable]:
    """What another master needs to judge by."""
    counters = part.delta.captured.counters
    at: LiteralString = "coalesce(k.at, 'epoch')" if part.retry else "k.at"
    if counters:
        at = f"case when k.versioned and k.own then {at} end"
    words: list[sql.Composable] = [sql.SQL(at), *(sql.Identifier("k", name) for name in MEETING[1:])]
    if counters:
        # Of a part that its maker sends though another has changed the row since: when it was made.
        words[3] = sql.SQL("case when k.own then k.xid else k.made_in end")
        # Whatever was done to it since, the target sees it made.
        words[1] = sql.SQL("case when k.g1 is null and k.op <> 'D' then 'I' else {} end").format(words[1])
    if part.retry:
        words[1] = sql.SQL("coalesce({}, 'U')").format(words[1])
    words += [sql.Identifier("k", f"g{i + 1}") for i in range(len(counters))]
    return [*words, *(of_others(part, name) for name in counters), *([sql.SQL("k.early")] if counters else [])]


def _to_send(part: Part) -> sql.Composable:
    """A key goes out if its newest version was made here: whoever made a newer one sends that. Gains always do,
    and keys to retry: their target may hold some.
    """
    counters = part.delta.captured.counters
    if not counters:
        return sql.SQL("k.own")
    # What its maker has counted on a row is its own to send, also where another has changed the row since.
    made = [sql.SQL("(k.g1 is null and k.made is not null)")] if part.delta.had else []
    gained = [sql.SQL("{} <> 0").format(sql.Identifier("k", f"g{i + 1}")) for i in range(len(counters))]
    held = [sql.SQL("k.again")] if part.retry else []
    return sql.SQL("(k.versioned and k.own) or {}").format(sql.SQL(" or ").join([*gained, *held, *made]))


def _whole_rows(part: Part, columns: Sequence[str], *, text: bool) -> sql.Composed:
    """The rows that were inserted into a table without a key."""
    relation = part.delta.relation
    places = {name: sql.Identifier("l", f"k{i + 1}") for i, name in enumerate(part.delta.captured.key)}
    values = [
        sql.SQL("{}::{}").format(places[name], sql.SQL("text" if text else relation.column(name).stage_type))
        for name in columns
    ]
    return sql.SQL(
        "select {gone}, {values}, l.changed_at, l.op, null::int, null::bigint from {log} l where {mine}"
    ).format(
        gone=sql.SQL("'false'" if text else "false"),
        values=sql.SQL(", ").join(values),
        log=part.log,
        mine=part.mine,
    )


def _value(relation: Relation, name: str, key: sql.Identifier | None, text: bool) -> sql.Composed:
    side, column = ("k", key) if key else ("t", sql.Identifier(name))
    kind = "text" if text else relation.column(name).stage_type
    return sql.SQL("{}.{}::{}").format(sql.SQL(side), column, sql.SQL(kind))


def _changed_keys(part: Part) -> sql.Composed:
    names = sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(len(part.delta.captured.key)))
    flag = sql.SQL(", false as again" if part.retry else "")
    distinct = sql.SQL("select distinct {}{} from {} l where {}").format(names, flag, part.log, part.mine)
    if part.retry:
        distinct = sql.SQL("select {0}, bool_or(again) as again from ({1} union all {2}) k group by {0}").format(
            names, distinct, _retry_keys(part)
        )
    if part.authored:
        return _newest_versions(part, distinct)
    # In the order of keys both ends find a large batch's rows by an index whose pages are at hand.
    return sql.SQL("with changed as ({} order by {})").format(distinct, names)


def _retry_keys(part: Part) -> sql.Composed:
    captured = part.delta.captured
    columns = [
        sql.SQL("(j ->> {})::{}").format(sql.Literal(name), sql.SQL(kind))
        for name, kind in zip(captured.key, captured.types, strict=True)
    ]
    return sql.SQL("select {}, true from unnest({}::jsonb[]) j").format(
        sql.SQL(", ").join(columns), sql.Literal(list(part.retry))
    )


def _newest_versions(part: Part, distinct: sql.Composable) -> sql.Composed:
    captured, retry = part.delta.captured, part.retry
    counters = bool(captured.counters)
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
            sql.SQL("k.{}" if retry else "l.{}").format(sql.Identifier(f"k{i + 1}")) for i in range(len(captured.key))
        ),
        newest=sql.SQL(NEWEST_VERSION if counters else NEWEST),
        version=sql.SQL(version),
        gains=gains(part),
        flag=sql.SQL(", k.again" if retry else ""),
        join=sql.SQL("left join" if retry else "join"),
        order=sql.SQL("(l.op <> '+') desc, l.seq desc" if counters else "l.seq desc"),
        log=part.log,
        match=match_keys(part.delta.relation, "l", "k"),
    )

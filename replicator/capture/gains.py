"""What counters gained in a batch: the terms for it in the query of a table's rows, which `rows` composes.

They are over the log rows `l` of a key, in its window `w`, unless another place is named.
"""

from __future__ import annotations

from typing import LiteralString

from psycopg import sql

from replicator.capture.delta import Delta, unseen
from replicator.capture.keys import match_keys
from replicator.capture.part import Part
from replicator.capture.spec import gain


def gains(part: Part) -> sql.Composable:
    """What a table with counters has besides: whether there is a version to send, and the sums of the gains.

    Of a row that was made anew here there are none: its counters are what they are.
    """
    if not part.delta.captured.counters:
        return sql.SQL("")
    delta, mine = part.delta, part.mine
    versioned = sql.SQL("coalesce(bool_or(l.op <> '+' and {}) over w, false)").format(mine)
    if part.retry:
        versioned = sql.SQL("({} or k.again)").format(versioned)
    return sql.SQL(
        ", max(l.seq) filter (where l.op = 'I' and l.origin is null) over w as made,"
        " max(l.xid) filter (where l.op = 'I' and l.origin is null) over w as made_in,"
        " {} as early, {} as versioned{}"
    ).format(_early(delta), versioned, _sums(delta, mine))


def _sums(delta: Delta, mine: sql.Composable) -> sql.Composed:
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
    return sql.Composed(sums)


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


def of_others(part: Part, counter: str) -> sql.Composable:
    """How much others have gained on a row since it was made here; asked only of rows made anew."""
    relation = part.delta.relation
    return sql.SQL(
        "case when k.g1 is null then (select coalesce(sum(l.{}), 0) from {} l"
        " where {} and l.origin is not null and l.seq > k.made) end"
    ).format(gain(relation, counter), part.log, match_keys(relation, "l", "k"))

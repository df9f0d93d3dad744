"""Counters: columns in which concurrent changes add up. What travels is by how much they changed, not what they are.

A staged row brings its counters' gains since the last batch; they are added to what is there, also where the row's
other columns lose, or did not change at all. A row that was made anew on the source, or is not here, brings its
counters as they are there; what was gained here without the source's knowing is added to these. A row that comes before
what its maker has counted on it brings what its sender has counted, and is made whole later.
"""

from __future__ import annotations

from psycopg import sql

from replicator.apply import park
from replicator.apply.arrival import Arrival
from replicator.capture.delta import unseen
from replicator.capture.spec import gain


def add_up(arrival: Arrival, *, everywhere: bool) -> None:
    """Make the stage hold the counters as they are to be, and of rows that lost only those. After `meeting.resolve`.

    everywhere: all staged rows are here.
    """
    present = sql.SQL("true" if everywhere else "coalesce(s.present, false)")
    if arrival.thirds:
        _make_whole(arrival, present)
        _forget_part(arrival, present)
        if not everywhere:
            _take_in_part(arrival)
    if not everywhere:
        _leave_out_others(arrival)
    _count_in(arrival, present)
    _take_over(arrival)
    arrival.execute("delete from {stage} s where s.standing = 'lost' and (s.gone or not {present})", present=present)


def _make_whole(arrival: Arrival, present: sql.Composable) -> None:
    """To rows that came before what their makers had counted on them add that, whatever becomes of other columns."""
    stage = arrival.stage
    own = [sql.SQL("{0} = coalesce(s.{0}, {1})").format(stage.gain(name), stage.own_part(name)) for name in stage.gains]
    arrival.execute(
        "update {stage} s set part = false, {own} from (select distinct on (s.ctid) s.ctid as id, l.part"
        " from {stage} s join {log} l on {of_log} where l.part is not null or l.op in ('I', 'D')"
        " order by s.ctid, l.seq desc) x where s.ctid = x.id and x.part and not s.gone and {present} and {brings}",
        own=sql.SQL(", ").join(own),
        present=present,
        brings=park.brings_part(arrival.link, stage),
    )


def _forget_part(arrival: Arrival, present: sql.Composable) -> None:
    """Leave out a maker's part that was held for a row that is here and whole: it is another one by now."""
    stage = arrival.stage
    arrival.execute(
        "update {stage} s set {less} from {parked} p where {held} and {present} and s.part is distinct from false",
        less=sql.SQL(", ").join(
            sql.SQL("{0} = s.{0} - coalesce((p.gains ->> {1})::numeric, 0)").format(stage.gain(name), sql.Literal(name))
            for name in stage.gains
        ),
        parked=park.letters(arrival.link),
        held=park.holds_part(arrival.link, stage),
        present=present,
    )


def _take_in_part(arrival: Arrival) -> None:
    """Of rows that come before their makers' parts take what the sender has counted; as made, so that others know.

    With the maker's part, which was held here, such a row is whole.
    """
    stage = arrival.stage
    brings = park.brings_part(arrival.link, stage)
    arrival.execute(
        "update {stage} s set op = 'I', part = case when {brings} then null else true end, {counted}"
        " where s.present is null and not s.gone and s.standing is distinct from 'lost' and s.{first} is not null"
        " and (s.early or {awaited})",
        brings=brings,
        counted=sql.SQL(", ").join(
            sql.SQL("{} = s.{}").format(stage.column(name), stage.gain(name)) for name in stage.gains
        ),
        first=stage.gain(stage.gains[0]),
        awaited=park.awaits_part(arrival.link, stage),
    )


def _leave_out_others(arrival: Arrival) -> None:
    """Of a row that is not here and was made on the source, take its maker's part: what others gained they send."""
    stage = arrival.stage
    arrival.execute(
        "update {stage} s set {own} where s.{first} is null and s.{of_others} is not null and s.present is null",
        own=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(stage.column(name), stage.own_part(name)) for name in stage.gains
        ),
        first=stage.gain(stage.gains[0]),
        of_others=stage.of_others(stage.gains[0]),
    )


def leave_absolute(arrival: Arrival) -> None:
    """Let rows that are not here have no gain: should they be parked, their counters are as on the source later too."""
    stage = arrival.stage
    arrival.execute(
        "update {stage} s set {none} where not exists (select from {table} t where {match})",
        none=sql.SQL(", ").join(sql.SQL("{} = null").format(stage.gain(name)) for name in stage.gains),
    )


def _count_in(arrival: Arrival, present: sql.Composable) -> None:
    """Counters that come as they are on the source lack what was gained here meanwhile.

    So come those of a row that is not here, and of one that was made anew, there or here. After this they have no gain.
    """
    stage = arrival.stage
    sums = [
        sql.SQL("coalesce(sum(l.{}), 0) as {}").format(gain(stage.relation, name), stage.gain(name))
        for name in stage.gains
    ]
    new = [
        sql.SQL("{0} = {1} + x.{2}, {2} = null").format(stage.column(name), stage.value(name), stage.gain(name))
        for name in stage.gains
    ]
    arrival.execute(
        "update {stage} s set {new} from (select s.ctid as id, bool_or(l.op in ('I', 'D')) as anew, {sums}"
        " from {stage} s join {log} l on {of_log} where not s.gone"
        " and coalesce(s.standing, '') not in ('lost', 'merged') and l.origin is null and {unseen} group by s.ctid) x"
        " where s.ctid = x.id and (not {present} or s.{first} is null or x.anew)",
        present=present,
        new=sql.SQL(", ").join(new),
        sums=sql.SQL(", ").join(sums),
        first=stage.gain(stage.gains[0]),
        unseen=unseen("l.xid", arrival.seen),
    )


def _take_over(arrival: Arrival) -> None:
    """Add gains to what is here; a row that lost is staged as it is here."""
    stage = arrival.stage
    new = []
    for name in (column.name for column in stage.relation.written):
        here, staged = sql.SQL("t.{}").format(sql.Identifier(name)), stage.value(name)
        if name in stage.gains:
            value = sql.SQL("coalesce({0} + s.{1}, case when s.standing = 'lost' then {0} else {2} end)").format(
                here, stage.gain(name), staged
            )
        else:
            value = sql.SQL("case when s.standing = 'lost' then {} else {} end").format(here, staged)
        new.append(sql.SQL("{} = {}").format(stage.column(name), value))
    arrival.execute(
        "update {stage} s set {new}, gone = s.gone and s.standing is distinct from 'lost',"
        " op = case when s.standing = 'lost' then '+' else s.op end, at = case when s.standing is distinct from 'lost'"
        " then s.at end, author = case when s.standing is distinct from 'lost' then s.author end"
        " from {table} t where {match} and (not s.gone or s.standing = 'lost')",
        new=sql.SQL(", ").join(new),
    )


def gains_of(arrival: Arrival) -> list[tuple[sql.Identifier, sql.Composable]]:
    """The log's columns for gains and for `part`, and what a staged row puts there."""
    stage = arrival.stage
    if not stage.gains:
        return []
    found: list[tuple[sql.Identifier, sql.Composable]] = [
        (gain(stage.relation, name), sql.SQL("case when s.anew is null then s.{} end").format(stage.gain(name)))
        for name in stage.gains
    ]
    return [*found, (sql.Identifier("part"), sql.SQL("s.part"))]

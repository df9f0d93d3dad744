"""What applications write on a master while it is filled from another: the copy neither deletes nor overwrites it.

Such a row is in the filled master's own change log and unknown to the copy's source. A new key stays as it is and
travels later. Where the source has the key too, its row arrives as a rival: `apply.swap` has the two judged, and notes
them, as if the source had just sent it. A row that was only counted on is copied with what was gained here. Rows
without a key stay beside those that are copied.

No writer is kept out: what came while a range was compared is found at its end, and the range is done again. Only
with care (a row was refused) and without a key the table is locked for the while. When the copy is made, and when the
filled master's changes flow again, is decided in `copy` and `join`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import LiteralString

from psycopg import sql

from replicator.apply import diff, swap
from replicator.apply.arrival import Arrival
from replicator.apply.resolver import Resolver
from replicator.apply.stage import Stage
from replicator.capture import Captured
from replicator.capture.delta import unseen
from replicator.capture.keys import match
from replicator.capture.spec import gain
from replicator.change import Counts
from replicator.conflict import Rule
from replicator.errors import LockedOut
from replicator.model import Link, TableName
from replicator.postgres import Connection, fetch_one
from replicator.relations import Relation
from replicator.snapshot import Snapshot


@dataclass(frozen=True)
class Judges:
    """Who wins where rows meet, by table, and the names of the masters, by number.

    turn: to be held while one is asked. A copy has several workers, and a resolver answers one at a time.
    """

    rules: Mapping[TableName, Rule]
    resolvers: Mapping[TableName, Resolver]
    names: Mapping[int, str]
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Own:
    """One table of the master that is filled. log: its own change log; known: what the copy's source has of that."""

    log: Captured
    known: Snapshot
    judges: Judges

    def written(self) -> sql.Composed:
        """That log row `l` was written here, and is unknown to the copy's source."""
        return sql.SQL("l.origin is null and {}").format(unseen("l.xid", self.known))

    def stage(self, target: Relation, *, text: bool = False) -> Stage:
        """The staging table of a range that is to be merged."""
        if not target.key:
            return Stage(target, text=text)
        return Stage(target, versioned=True, gains=self.log.counters, text=text)


def anything(connection: Connection, link: Link, own: Own) -> bool:
    """Whether anything was written here that the copy's source does not know."""
    query = sql.SQL("select exists (select from {} l where {})").format(_log(link, own.log), own.written())
    return bool(fetch_one(connection, query)[0])


def untouched(link: Link, own: Own, relation: Relation) -> sql.Composed:
    """That row `t`, which has a key, was not written here; one that was only counted on does not count as such."""
    return sql.SQL("not exists (select from {} l where {} and {} and l.op <> '+')").format(
        _log(link, own.log), sql.SQL(" and ").join(_of_row(relation)), own.written()
    )


def staged_rows(
    link: Link, captured: Captured, source: Relation, stage: Stage, values: sql.Composable, where: sql.Composable
) -> sql.Composed:
    """The query that fills a stage with the source's rows for which `where` holds (of `t`). values: the staged columns.

    Each comes with the version that the source's log knows of it; without one it is as old as can be.
    """
    if not stage.versioned:
        return sql.SQL("select false, {} from {} t where {}").format(values, source.rows, where)
    keys = {name: sql.Identifier(f"k{number}") for number, name in enumerate(captured.key, 1)}
    counting: list[LiteralString] = ["null::numeric", "0::numeric"] if stage.gains else []
    extra = [word for word in counting for _ in stage.gains] + ["false" for _ in stage.gains[:1]]
    return sql.SQL(
        "select false, {values}, coalesce(v.at, 'epoch'), {op}, v.author, v.xid{extra}"
        " from {rows} t left join ({versions}) v on {match} where {where}"
    ).format(
        values=values,
        op=sql.SQL("'I'::\"char\"" if stage.gains else "coalesce(v.op, 'I')"),
        extra=sql.Composed([sql.SQL(", {}").format(sql.SQL(word)) for word in extra]),
        rows=source.rows,
        versions=newest_versions(link, captured),
        match=match(source, "t", "v", keys),
        where=where,
    )


def newest_versions(link: Link, captured: Captured) -> sql.Composed:
    """The query of what the log of a link's source knows of each key: k1 ..., at, origin, op, author, xid (there)."""
    keys = sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(len(captured.key)))
    return sql.SQL(
        "select {of_last}, y.at, coalesce((y.last).origin, {node}) as origin, (y.last).op as op,"
        " (y.last).author as author,"
        " case when (y.last).origin is null then (y.last).xid else (y.last).source_xid end as xid"
        " from (select (array_agg(l order by l.seq desc))[1] as last,"
        " greatest(max(l.changed_at) filter (where l.origin is null),"
        " max(l.changed_at) filter (where l.origin is not null)"
        " + case when (array_agg(l.origin order by l.seq desc))[1] is null then interval '1 microsecond'"
        " else interval '0' end) as at"
        " from {log} l where l.op <> '+' group by {keys}) y"
    ).format(
        of_last=sql.SQL(", ").join(
            sql.SQL("(y.last).{0} as {0}").format(sql.Identifier(f"k{i + 1}")) for i in range(len(captured.key))
        ),
        node=sql.Literal(link.source.id),
        log=_log(link, captured),
        keys=keys,
    )


def merge(
    connection: Connection, link: Link, own: Own, stage: Stage, where: sql.Composable, *, careful: bool = False
) -> Counts:
    """Make the target's rows for which `where` holds (of `t`) what is staged, but for what was written here.

    In a transaction. careful: set refused rows aside. Raises LockedOut when an application wrote meanwhile.
    """
    if careful or not stage.relation.key:
        connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(stage.relation.identifier))
    if not stage.relation.key:
        _stage_own_rows(connection, link, own, stage)
        return diff.replace_different(connection, link, stage, where, careful=careful)
    arrival = _arrival(connection, link, own, stage)
    _look_for_written(arrival, own)
    counts = _meet(arrival, own, careful=careful)
    _add_gains(arrival)
    free = sql.SQL("{} and {}").format(where, untouched(link, own, stage.relation))
    counts += diff.replace_different(connection, link, stage, free, careful=careful)
    if not careful:
        _check_nobody_came(arrival, own)
    return counts


def _arrival(connection: Connection, link: Link, own: Own, stage: Stage) -> Arrival:
    name, judges = stage.relation.name, own.judges
    return Arrival(
        connection=connection,
        link=link,
        stage=stage,
        log=own.log,
        seen=own.known,
        thirds=(),
        rule=judges.rules[name],
        resolver=judges.resolvers.get(name),
        names=judges.names,
    )


def _log(link: Link, captured: Captured) -> sql.Identifier:
    return sql.Identifier(link.install.schema, captured.log)


def _of_row(relation: Relation) -> list[sql.Composed]:
    """That log row `l` is of the target's row `t`."""
    return [
        sql.SQL("l.{} {} t.{}").format(sql.Identifier(f"k{number}"), equal.as_sql(), sql.Identifier(name))
        for number, (name, equal) in enumerate(zip(relation.key, relation.equal, strict=True), 1)
    ]


def _stage_own_rows(connection: Connection, link: Link, own: Own, stage: Stage) -> None:
    """Of a table without a key: let the rows that were written here be part of what the table is to hold."""
    places = {name: sql.Identifier("l", f"k{number}") for number, name in enumerate(own.log.key, 1)}
    values = [
        sql.SQL("{}::{}").format(places[column.name], sql.SQL("text" if stage.text else column.stage_type))
        for column in stage.relation.written
    ]
    connection.execute(
        sql.SQL("insert into {} select false, {} from {} l where {}").format(
            stage.table, sql.SQL(", ").join(values), _log(link, own.log), own.written()
        )
    )


def _look_for_written(arrival: Arrival, own: Own) -> None:
    """Note with each staged row how often its key was written here, whether more than counted on, and the gains."""
    stage = arrival.stage
    arrival.execute(
        "update {stage} s set newest = w.times, standing = w.standing{set}"
        " from (select s.ctid as id, count(*) as times,"
        " case when bool_or(l.op <> '+') then 'met' end as standing{sums}"
        " from {stage} s join {log} l on {of_log} where {written} group by s.ctid) w where s.ctid = w.id",
        set=sql.Composed([sql.SQL(", {0} = w.{0}").format(stage.gain(name)) for name in stage.gains]),
        sums=_sums(stage),
        written=own.written(),
    )


def _sums(stage: Stage) -> sql.Composed:
    """What was gained here, by counter."""
    return sql.Composed(
        [
            sql.SQL(", coalesce(sum(l.{}), 0) as {}").format(gain(stage.relation, name), stage.gain(name))
            for name in stage.gains
        ]
    )


def _meet(arrival: Arrival, own: Own, *, careful: bool) -> Counts:
    """Have the rows judged of which the key was written here."""
    stage = arrival.stage
    met = replace(arrival, stage=replace(stage, name=f"{stage.local_name}_met"))
    met.stage.create(arrival.connection)
    moved = arrival.execute("insert into {met} select s.* from {stage} s where s.standing = 'met'", met=met.stage.table)
    if not moved:
        return Counts()
    arrival.execute("delete from {stage} s where s.standing = 'met'")
    none = [sql.SQL("{} = null").format(stage.gain(name)) for name in stage.gains]
    met.execute(
        "update {stage} s set {none}",
        none=sql.SQL(", ").join([sql.SQL("newest = null, standing = null"), *none]),
    )
    if stage.gains:
        _take_gains(met, own)
    with own.judges.turn:
        return swap.write_resolved(met, careful=careful)


def _take_gains(met: Arrival, own: Own) -> None:
    """Let counters add up whoever wins: to a row that was not made anew here comes what only the source has of it."""
    stage = met.stage
    keys = sql.SQL(", ").join(sql.Identifier("t", name) for name in stage.relation.key)
    met.execute("select from {table} t join {stage} s on {match} order by {keys} for update of t", keys=keys)
    lacking = [
        sql.SQL("{0} = {1} + x.{0} - t.{2}").format(stage.gain(name), stage.value(name), sql.Identifier(name))
        for name in stage.gains
    ]
    met.execute(
        "update {stage} s set {lacking} from (select s.ctid as id{sums} from {stage} s join {log} l on {of_log}"
        " where {written} group by s.ctid having not bool_or(l.op in ('I', 'D'))) x, {table} t"
        " where s.ctid = x.id and {match}",
        lacking=sql.SQL(", ").join(lacking),
        sums=_sums(stage),
        written=own.written(),
    )


def _add_gains(arrival: Arrival) -> None:
    """Copy rows that were only counted on with what was gained here."""
    stage = arrival.stage
    if not stage.gains:
        return
    added = [
        sql.SQL("{0} = {1} + s.{2}, {2} = null").format(stage.column(name), stage.value(name), stage.gain(name))
        for name in stage.gains
    ]
    arrival.execute(
        "update {stage} s set {added} where s.{first} is not null",
        added=sql.SQL(", ").join(added),
        first=stage.gain(stage.gains[0]),
    )


def _check_nobody_came(arrival: Arrival, own: Own) -> None:
    """Raise LockedOut if one of the written keys was written here since it was looked at."""
    query = (
        "select exists (select from {stage} s join {log} l on {of_log} where {written}"
        " group by s.ctid, s.newest having count(*) <> coalesce(s.newest, 0))"
    )
    if fetch_one(arrival.connection, arrival.compose(query, written=own.written()))[0]:
        raise LockedOut(f"{arrival.link}: {arrival.stage.relation.name}: another writer was quicker.")

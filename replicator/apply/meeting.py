"""What happens where an arriving version meets the newest one of its row: `conflict`'s rules, for a whole stage.

Where versions stand is found in one statement; only rivals, which are few, become values here. What becomes of them is
written into the stage and the log, and both sides go into the ledger.

On the target, staged rows that are to be written stay in the stage. Of a table with counters the losers stay too,
marked `lost`: what they gained counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from psycopg.rows import TupleRow

from replicator import conflict
from replicator.apply import asking, merging, noting, park
from replicator.apply.arrival import Arrival, local_json
from replicator.apply.resolver import Answer, Merged
from replicator.apply.rival import Rival, Verdict
from replicator.capture.delta import unseen
from replicator.change import Counts
from replicator.conflict import Claim, Outcome, Version
from replicator.failpoint import failpoint
from replicator.model import Strategy

DECIDED_AT_ONCE = 5000


def resolve(arrival: Arrival, *, everywhere: bool = False) -> Counts:
    """Decide the conflicts, note them, and take the losers out of the stage; how many conflicts there were.

    everywhere: all staged rows are here. Then only those need writing again that are not to be taken as they are.
    """
    arrival.execute(
        "update {stage} s set newest = r.seq, local_op = r.op, standing = r.standing"
        " from (select s.ctid as id, r.seq, r.op, case when s.at is null then 'lost' {cases} end as standing"
        " from {stage} s join (select distinct on (s.ctid) s.ctid as id,"
        " l.seq, l.origin, l.xid, l.op, l.changed_at, l.source_xid"
        " from {stage} s join {log} l on {of_log}{versions} order by s.ctid, l.seq desc) r on s.ctid = r.id) r"
        " where s.ctid = r.id{needed}",
        cases=_standing(arrival),
        needed=sql.SQL(" and r.standing is not null" if everywhere else ""),
        versions=sql.SQL(" and (l.op <> '+' or (s.gone and l.origin is null))" if arrival.stage.gains else ""),
    )
    if arrival.stage.gains:
        arrival.execute("update {stage} s set standing = 'lost' where s.at is null and s.standing is null")
    counts = Counts()
    with arrival.connection.cursor() as cursor:
        cursor.execute(_rivals(arrival))
        older = False
        while rows := cursor.fetchmany(DECIDED_AT_ONCE):
            rivals = [rival for row in rows if (rival := _rival(arrival, row))]
            older = older or len(rivals) < len(rows)
            counts += _decide(arrival, rivals) if rivals else Counts()
    if older:
        _lose(arrival, sql.SQL("s.standing = 'older'"))
    return counts


def any_rivals(arrival: Arrival) -> sql.Composed:
    """A query: whether a version that is here, of a staged key, may be one that the source did not know.

    It looks at all of them, not at the newest of each key alone, which would have to be sorted out. And it counts, for
    the planner takes it that what is only to exist is found early, and would look each key up.
    """
    return arrival.compose(
        "select count(*) > 0 from {stage} s join {log} l on {of_log} and l.origin is distinct from {source}"
        " cross join lateral (select l.origin, l.xid, l.changed_at, l.source_xid) r where case {cases} end is not null",
        source=sql.Literal(arrival.link.source.id),
        cases=_standing(arrival),
    )


def may_have_rivals(arrival: Arrival) -> sql.Composable:
    """A condition that is cheap to find out: false where nothing was written here that the source has not seen."""
    if arrival.thirds:
        return sql.SQL("true")
    return arrival.compose(
        "exists (select from {log} l where l.origin is null and {unseen})", unseen=unseen("l.xid", arrival.seen)
    )


def rivals_now(arrival: Arrival) -> sql.Composed:
    """`any_rivals`, of which it is first seen whether there can be any, where that tells for sure."""
    if not arrival.silent or arrival.unmet:
        return any_rivals(arrival)
    query = sql.SQL("select case when {} then ({}) else false end")
    return query.format(may_have_rivals(arrival), any_rivals(arrival))


def _standing(arrival: Arrival) -> sql.Composed:
    """`conflict.standing` of staged row `s` and log row `r`, as the branches of a CASE; null: newer."""
    source = sql.Literal(arrival.link.source.id)
    by_order = sql.SQL("case when (s.at, {}) > (r.changed_at, r.origin) then null else 'older' end").format(source)
    parts = [
        sql.SQL("when r.origin is null then case when {} or {} then 'rival' end").format(
            unseen("r.xid", arrival.seen), _parked_there(arrival, arrival.link.target.id)
        ),
        sql.SQL("when r.origin = {} then null").format(source),
    ]
    for third in arrival.thirds:
        if third.seen is not None and third.told is not None:
            parts.append(
                sql.SQL(
                    "when r.origin = {} and r.source_xid is not null then case when not {} and not {} then null"
                    " when {} then 'rival' else {} end"
                ).format(
                    sql.Literal(third.node),
                    unseen("r.source_xid", third.seen),
                    _parked_there(arrival, third.node),
                    unseen("s.xid", third.told),
                    by_order,
                )
            )
    return sql.SQL("{} else {}").format(sql.SQL(" ").join(parts), by_order)


def _parked_there(arrival: Arrival, node: int) -> sql.Composable:
    """That the source has seen a node's change of staged row `s` and does not have it: it is parked there."""
    keys = arrival.unmet.get(arrival.names.get(node, ""), ())
    if not keys:
        return sql.SQL("false")
    return sql.SQL("{} = any({}::jsonb[])").format(arrival.stage.key_json, sql.Literal(list(keys)))


def _rivals(arrival: Arrival) -> sql.Composed:
    """The rivals with all that they bring, and a row that says so when there are staged rows that are older."""
    stage = arrival.stage
    return arrival.compose(
        "select s.standing, s.ctid::text, {key}, s.at, s.author, coalesce(r.origin, {target}),"
        " coalesce(case when r.origin is null then v.at end, r.changed_at), r.author, r.op::text,"
        " case when s.gone then t.{first} is null else {row} = {local} end"
        " from {stage} s join {log} r on r.seq = s.newest and {of_newest}"
        " cross join lateral (select greatest(max(l.changed_at) filter (where l.origin is null),"
        " max(l.changed_at) filter (where l.origin is not null) + interval '1 microsecond') as at"
        " from {log} l where {of_log} and (l.op <> '+' or (s.gone and l.origin is null))) v"
        " left join {table} t on {match} where s.standing = 'rival'"
        " union all (select s.standing, null, null, null, null, null, null, null, null, null from {stage} s"
        " where s.standing = 'older' limit 1)",
        key=stage.key_json,
        target=sql.Literal(arrival.link.target.id),
        first=sql.Identifier(stage.relation.key[0]),
        row=stage.row_json,
        local=local_json(stage),
        of_newest=sql.SQL(" and ").join(
            sql.SQL("r.{} {} {}").format(column, equal.as_sql(), stage.value(name))
            for column, name, equal in zip(arrival.columns, stage.relation.key, stage.relation.equal, strict=True)
        ),
    )


def _rival(arrival: Arrival, row: TupleRow) -> Rival | None:
    standing, id_, key, at, author, node, local_at, local_author, local_op, same = row
    if standing != "rival":
        return None
    source = arrival.link.source.id
    return Rival(
        id=id_,
        row=conflict.row_name(arrival.stage.relation.name, key),
        incoming=Claim(Version(at, source), author or source, author is not None),
        local=Claim(Version(local_at, node), local_author or node, local_author is not None),
        local_op=local_op,
        same=bool(same),
    )


def _decide(arrival: Arrival, rivals: Sequence[Rival]) -> Counts:
    """Have rivals judged and do what follows; how many of them were conflicts."""
    answers, failed = asking.ask(arrival, rivals)
    if failed:
        park.set_aside(arrival.connection, arrival.link, arrival.stage, failed)
        _lose(arrival, sql.SQL("s.ctid = any({}::tid[])").format(sql.Literal(list(failed))))
    verdicts = [_verdict(arrival, rival, answers.get(rival.id)) for rival in rivals if rival.id not in failed]
    failpoint("resolve.before-ledger")
    noting.note(arrival, [verdict for verdict in verdicts if verdict.noted])
    failpoint("resolve.after-ledger")
    _mark(arrival, verdicts)
    merging.write_in(arrival, [v for v in verdicts if v.outcome is Outcome.MERGE])
    _keep_anew(arrival, [v for v in verdicts if v.outcome is Outcome.KEEP_ANEW])
    _leave(arrival, [v for v in verdicts if v.outcome is Outcome.LEAVE])
    _lose(
        arrival, sql.SQL("s.ctid = any({}::tid[])").format(sql.Literal([v.rival.id for v in verdicts if not v.taken]))
    )
    left = sum(verdict.outcome is Outcome.LEAVE for verdict in verdicts)
    aborted = left if arrival.rule.kind is Strategy.ABORT else 0
    return Counts(conflicts=sum(verdict.noted for verdict in verdicts), aborted=aborted, parked=len(failed))


def _verdict(arrival: Arrival, rival: Rival, answer: Answer) -> Verdict:
    rule, here = arrival.rule, arrival.link.target.id
    incoming, local = rival.incoming, rival.local
    text = rule.text or str(rule.kind)
    noted = not (rival.same and (incoming.settled or local.settled))
    if isinstance(answer, Merged):
        return Verdict(rival, Outcome.MERGE, text, noted, here, answer.row)
    if rival.same or rival.settled:
        text = "latest"
    if rival.same:
        wins: bool | None = incoming.version > local.version
    else:
        wins = rule.wins(incoming, local, rival.row) if answer is None else answer
    outcome = conflict.outcome(wins, incoming.version, local.version)
    if outcome is Outcome.KEEP and rival.local_op == "+":
        outcome = Outcome.KEEP_ANEW  # what only counted is no version yet
    return Verdict(rival, outcome, text, noted, here)


def _mark(arrival: Arrival, verdicts: Sequence[Verdict]) -> None:
    """Let rows that are taken anew be new versions of this node."""
    anew = [verdict for verdict in verdicts if verdict.outcome is Outcome.TAKE_ANEW]
    if anew:
        arrival.execute(
            "update {stage} s set anew = d.at, author = d.author"
            " from unnest({ids}::text[], {times}::timestamptz[], {authors}::int[]) d(id, at, author)"
            " where s.ctid = d.id::tid",
            **_listed(anew),
        )


def _keep_anew(arrival: Arrival, verdicts: Sequence[Verdict]) -> None:
    """Let rows that stay be new versions of this node: they travel again, and are later than what they met."""
    if verdicts:
        arrival.execute(
            "with noted as (insert into {log} ({columns}, changed_at, op, onward, author)"
            " select {values}, d.at, case when s.local_op in {made} then 'U' else s.local_op end, false, d.author"
            " from unnest({ids}::text[], {times}::timestamptz[], {authors}::int[]) d(id, at, author)"
            " join {stage} s on s.ctid = d.id::tid returning changed_at) update {node} set floor = x.at"
            " from (select max(changed_at) as at from noted) x where x.at > clock_timestamp() and x.at > floor",
            # Where it counts who has made a row, nobody else makes it anew by keeping it.
            made=sql.SQL("('+', 'I')" if arrival.stage.gains else "('+')"),
            **_keys(arrival),
            **_listed(verdicts),
        )


def _leave(arrival: Arrival, verdicts: Sequence[Verdict]) -> None:
    """Log what arrived as if it had been written, and keep the row: what is written next knows both."""
    if verdicts:
        arrival.execute(
            "with noted as (insert into {log} ({columns}, changed_at, origin, op, onward, author, source_xid)"
            " select {values}, s.at, {origin}, s.op, false, s.author, s.xid from {stage} s"
            " where s.ctid = any({ids}::tid[]) returning changed_at) update {node} set floor = x.at"
            " from (select max(changed_at) as at from noted) x where x.at > clock_timestamp() and x.at > floor",
            origin=sql.Literal(arrival.link.source.id),
            ids=sql.Literal([verdict.rival.id for verdict in verdicts]),
            **_keys(arrival),
        )


def _keys(arrival: Arrival) -> dict[str, sql.Composable]:
    stage = arrival.stage
    values = sql.SQL(", ").join(stage.value(name) for name in stage.relation.key)
    return {"columns": sql.SQL(", ").join(arrival.columns), "values": values}


def _listed(verdicts: Sequence[Verdict]) -> dict[str, sql.Composable]:
    return {
        "ids": sql.Literal([verdict.rival.id for verdict in verdicts]),
        "times": sql.Literal([verdict.anew for verdict in verdicts]),
        "authors": sql.Literal([verdict.author for verdict in verdicts]),
    }


def _lose(arrival: Arrival, losers: sql.Composable) -> None:
    """Take losers out of the stage, or mark them where their counters' gains are still to be added."""
    if arrival.stage.gains:
        arrival.execute("update {stage} s set standing = 'lost' where {losers}", losers=losers)
    else:
        arrival.execute("delete from {stage} s where {losers}", losers=losers)

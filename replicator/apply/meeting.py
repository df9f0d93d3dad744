"""What happens where an arriving version meets the newest one of its row: `conflict`'s rules, for a whole stage.

Where versions stand is found in one statement; only rivals, which are few, become values here. What becomes of them is
written into the stage and the log, and both sides go into the ledger.

On the target, staged rows that are to be written stay in the stage. Of a table with counters the losers stay too,
marked `lost`: what they gained counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import TupleRow

from replicator import conflict
from replicator.apply import park
from replicator.apply.resolver import Question, Resolver, Unanswered, judged
from replicator.apply.stage import Stage
from replicator.capture import Captured
from replicator.capture.read import unseen
from replicator.change import Counts
from replicator.conflict import Claim, Outcome, Rule, Version
from replicator.failpoint import failpoint
from replicator.model import Link, Strategy
from replicator.postgres import Connection
from replicator.snapshot import Snapshot

DECIDED_AT_ONCE = 5000


@dataclass(frozen=True, kw_only=True)
class Third:
    """Another master of the swap than the link's two. seen: what the source had of it when the batch was read.

    told: what it had of the source when its own last batch was read. None: not known.
    """

    node: int
    seen: Snapshot | None
    told: Snapshot | None


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A table's part of a batch, staged on another master.

    log: the target's own log of the table. seen: what the source had seen of the target when the batch was read.
    thirds: the same of the other masters. rule: who wins. names: of the masters, by number. wary: an application has
    stood in the way at this table.
    """

    connection: Connection
    link: Link
    stage: Stage
    log: Captured
    seen: Snapshot
    thirds: Sequence[Third]
    rule: Rule
    resolver: Resolver | None
    names: Mapping[int, str]
    wary: bool = False

    @property
    def columns(self) -> list[sql.Identifier]:
        """The log's key columns."""
        return [sql.Identifier(f"k{i + 1}") for i in range(len(self.log.key))]

    def execute(self, query: str, **parts: sql.Composable) -> int:
        """Run a statement; how many rows it was about."""
        return self.connection.execute(self.compose(query, **parts)).rowcount

    def compose(self, query: str, **parts: sql.Composable) -> sql.Composed:
        """A statement with the names of what it is about filled in. `s` is the stage, `t` the table, `l` the log."""
        stage = self.stage
        return sql.SQL(query).format(
            table=stage.relation.rows,
            name=stage.relation.identifier,
            stage=stage.table,
            match=stage.match,
            log=sql.Identifier(self.link.install.schema, self.log.log),
            of_log=self._match_log(),
            node=sql.Identifier(self.link.install.schema, "node"),
            **parts,
        )

    def _match_log(self) -> sql.Composed:
        """That log row `l` is of staged row `s`."""
        triples = zip(self.columns, self.stage.relation.key, self.stage.relation.equal, strict=True)
        return sql.SQL(" and ").join(
            sql.SQL("l.{} {} {}").format(column, equal.as_sql(), self.stage.value(name))
            for column, name, equal in triples
        )


@dataclass(frozen=True)
class Rival:
    """A staged row and the newest version that is here. same: they are equal, rows and all."""

    id: str
    row: str
    incoming: Claim
    local: Claim
    local_op: str
    same: bool


@dataclass(frozen=True)
class Verdict:
    """What becomes of a rival. rule: by which it was decided. noted: it goes into the ledger."""

    rival: Rival
    outcome: Outcome
    rule: str
    noted: bool

    @property
    def taken(self) -> bool:
        """Whether the arriving row is written."""
        return self.outcome in (Outcome.TAKE, Outcome.TAKE_ANEW)

    @property
    def anew(self) -> datetime | None:
        """The time of the version that settles it."""
        if self.outcome in (Outcome.TAKE_ANEW, Outcome.KEEP_ANEW):
            return conflict.anew(self.rival.incoming.version, self.rival.local.version)
        return None

    @property
    def author(self) -> int | None:
        """Whose row that version is."""
        if self.anew is None:
            return self.rival.incoming.author if self.rival.incoming.settled else None
        return self.rival.incoming.author if self.taken else self.rival.local.author


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


def _standing(arrival: Arrival) -> sql.Composed:
    """`conflict.standing` of staged row `s` and log row `r`, as the branches of a CASE; null: newer."""
    source = sql.Literal(arrival.link.source.id)
    by_order = sql.SQL("case when (s.at, {}) > (r.changed_at, r.origin) then null else 'older' end").format(source)
    parts = [
        sql.SQL("when r.origin is null then case when {} then 'rival' end").format(unseen("r.xid", arrival.seen)),
        sql.SQL("when r.origin = {} then null").format(source),
    ]
    for third in arrival.thirds:
        if third.seen is not None and third.told is not None:
            parts.append(
                sql.SQL(
                    "when r.origin = {} and r.source_xid is not null then case when not {} then null"
                    " when {} then 'rival' else {} end"
                ).format(
                    sql.Literal(third.node), unseen("r.source_xid", third.seen), unseen("s.xid", third.told), by_order
                )
            )
    return sql.SQL("{} else {}").format(sql.SQL(" ").join(parts), by_order)


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


def local_json(stage: Stage) -> sql.Composed:
    """Row `t` of the target as a JSON object."""
    pairs = [sql.SQL("({0}, to_jsonb(t.{1}))").format(sql.Literal(n), sql.Identifier(n)) for n in stage.names]
    return sql.SQL("(select jsonb_object_agg(x.k, x.v) from (values {}) x(k, v))").format(sql.SQL(", ").join(pairs))


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
    answers, failed = _ask(arrival, rivals)
    if failed:
        park.set_aside(arrival.connection, arrival.link, arrival.stage, failed)
        _lose(arrival, sql.SQL("s.ctid = any({}::tid[])").format(sql.Literal(list(failed))))
    verdicts = [_verdict(arrival.rule, rival, answers) for rival in rivals if rival.id not in failed]
    failpoint("resolve.before-ledger")
    _note(arrival, [verdict for verdict in verdicts if verdict.noted])
    failpoint("resolve.after-ledger")
    _mark(arrival, verdicts)
    _keep_anew(arrival, [v for v in verdicts if v.outcome is Outcome.KEEP_ANEW])
    _leave(arrival, [v for v in verdicts if v.outcome is Outcome.LEAVE])
    _lose(
        arrival, sql.SQL("s.ctid = any({}::tid[])").format(sql.Literal([v.rival.id for v in verdicts if not v.taken]))
    )
    left = sum(verdict.outcome is Outcome.LEAVE for verdict in verdicts)
    aborted = left if arrival.rule.kind is Strategy.ABORT else 0
    return Counts(conflicts=sum(verdict.noted for verdict in verdicts), aborted=aborted, parked=len(failed))


def _ask(arrival: Arrival, rivals: Sequence[Rival]) -> tuple[dict[str, bool], dict[str, str]]:
    """What the sync's function says, by the staged row, and on which rows it failed, with why.

    Those on which it has no opinion, and those that need none, are in neither.
    """
    answers: dict[str, bool] = {}
    failed: dict[str, str] = {}
    asked = [r.id for r in rivals if not r.same and not (r.incoming.settled and r.local.settled)]
    if arrival.resolver is None or not asked:
        return answers, failed
    for id_, question in _questions(arrival, [rival for rival in rivals if rival.id in asked]):
        try:
            answer = judged(arrival.resolver.answer(arrival.connection, question))
            if answer is not None:
                answers[id_] = answer
        except Unanswered as error:
            failed[id_] = str(error)
    return answers, failed


def _questions(arrival: Arrival, rivals: Sequence[Rival]) -> Iterator[tuple[str, Question]]:
    stage, by_id = arrival.stage, {rival.id: rival for rival in rivals}
    query = arrival.compose(
        "select s.ctid::text, {key}, s.op::text, case when not s.gone then {row} end,"
        " case when t.{first} is not null then {local} end"
        " from {stage} s left join {table} t on {match} where s.ctid = any({ids}::tid[])",
        key=stage.key_json,
        row=stage.row_json,
        first=sql.Identifier(stage.relation.key[0]),
        local=local_json(stage),
        ids=sql.Literal(list(by_id)),
    )
    for id_, key, op, incoming, local in arrival.connection.execute(query).fetchall():
        rival = by_id[id_]
        sides = {
            "incoming": _side(arrival, rival.incoming, op),
            "local": _side(arrival, rival.local, rival.local_op),
        }
        table = str(stage.relation.name)
        yield id_, Question(incoming, local, {"sync": arrival.link.sync.name, "table": table, "key": key, **sides})


def _side(arrival: Arrival, claim: Claim, op: str) -> dict[str, object]:
    return {"node": arrival.names.get(claim.author), "at": claim.version.at.isoformat(), "op": op}


def _verdict(rule: Rule, rival: Rival, answers: Mapping[str, bool]) -> Verdict:
    incoming, local = rival.incoming, rival.local
    settled = incoming.settled and local.settled
    if rival.same:
        wins: bool | None = incoming.version > local.version
    else:
        wins = answers.get(rival.id, rule.wins(incoming, local, rival.row))
    outcome = conflict.outcome(wins, incoming.version, local.version)
    if outcome is Outcome.KEEP and rival.local_op == "+":
        outcome = Outcome.KEEP_ANEW  # what only counted is no version yet
    return Verdict(
        rival,
        outcome,
        rule="latest" if settled or rival.same else rule.text or str(rule.kind),
        noted=not (rival.same and (incoming.settled or local.settled)),
    )


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
            " select {values}, d.at, case when s.local_op = '+' then 'U' else s.local_op end, false, d.author"
            " from unnest({ids}::text[], {times}::timestamptz[], {authors}::int[]) d(id, at, author)"
            " join {stage} s on s.ctid = d.id::tid returning changed_at) update {node} set floor = x.at"
            " from (select max(changed_at) as at from noted) x where x.at > clock_timestamp() and x.at > floor",
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


def _note(arrival: Arrival, verdicts: Sequence[Verdict]) -> None:
    """Note conflicts with both images, before the loser is gone."""
    if not verdicts:
        return
    link, stage = arrival.link, arrival.stage
    nodes: list[Any] = [arrival.names.get(v.rival.local.version.node) for v in verdicts]
    arrival.execute(
        "insert into {ledger} (sync, schema_name, table_name, key, source, incoming_op, incoming_at, incoming_row,"
        " local_op, local_at, local_row, incoming_wins, rule, local_node)"
        " select {sync}, {schema}, {table_name}, {key}, {source}, s.op, s.at, case when not s.gone then {row} end,"
        " case when s.local_op = '+' then 'U' else s.local_op end, d.local_at,"
        " case when t.{first} is not null then {local} end, d.wins, d.rule, nullif(d.node, {target})"
        " from unnest({ids}::text[], {times}::timestamptz[], {wins}::boolean[], {rules}::text[], {nodes}::text[])"
        " d(id, local_at, wins, rule, node)"
        " join {stage} s on s.ctid = d.id::tid left join {table} t on {match}",
        ledger=sql.Identifier(link.install.schema, "conflict"),
        sync=sql.Literal(link.sync.name),
        schema=sql.Literal(stage.relation.name.schema),
        table_name=sql.Literal(stage.relation.name.name),
        key=stage.key_json,
        source=sql.Literal(link.source.name),
        target=sql.Literal(link.target.name),
        row=stage.row_json,
        first=sql.Identifier(stage.relation.key[0]),
        local=local_json(stage),
        ids=sql.Literal([verdict.rival.id for verdict in verdicts]),
        times=sql.Literal([verdict.rival.local.version.at for verdict in verdicts]),
        wins=sql.Literal([verdict.taken for verdict in verdicts]),
        rules=sql.Literal([verdict.rule for verdict in verdicts]),
        nodes=sql.Literal(nodes),
    )

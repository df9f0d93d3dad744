"""A second unique key collides: a row that arrives has a value that another row here holds, under another key.

Only one of the two can stay, on any node, so it is a conflict like others and the strategy decides. The loser goes
everywhere: its deletion (of a row that was changed: its old state) is written as a new version by the node that
decides. Looked for only once the target has refused a batch, with the table locked; what is left then is parked.

Two nodes that meet the same two rows must not each delete the other one. So a function is told them in one order on
all nodes, the later as the incoming one, and answers which stays; it cannot merge them, for their keys differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from replicator import conflict
from replicator.apply import park
from replicator.apply.arrival import Arrival, local_json
from replicator.apply.asking import side
from replicator.apply.resolver import Merged, Question, Unanswered, info, judged
from replicator.apply.stage import EXACT
from replicator.change import Counts
from replicator.conflict import Claim, Version
from replicator.failpoint import failpoint

ROUNDS = 100

MUST_CHOOSE = "the function answered with a row, but two rows collide in a unique key: it must say which one stays"


@dataclass(frozen=True)
class Collision:
    """A staged row (by its ctid) and the row here (by partition and ctid) that bars it."""

    staged: str
    part: int
    here: str
    name: str
    incoming: Claim
    local: Claim
    ops: tuple[str, str]

    @property
    def incoming_is_later(self) -> bool:
        """Whether the arriving row is the later one of the two."""
        return self.incoming.version > self.local.version


def settle(arrival: Arrival) -> Counts:
    """Decide the collisions, a round at a time: of each row there is one in a round. After `meeting.resolve`."""
    counts = Counts()
    sets = [columns for columns in arrival.stage.relation.arbiters if _comparable(arrival, columns)]
    for _ in range(ROUNDS if sets else 0):
        found = _find(arrival, [sorted(columns) for columns in sets])
        answers, failed = _ask(arrival, found)
        if failed:
            _set_aside(arrival, failed)
            counts += Counts(parked=len(failed))
        weighed = [
            (each, _wins(arrival, each, answers.get(each.staged))) for each in found if each.staged not in failed
        ]
        decided = [(collision, wins) for collision, wins in weighed if wins is not None]
        if not decided and not failed:
            break
        if not decided:
            continue
        _note(arrival, decided)
        failpoint("collide.after-ledger")
        _give_way(arrival, [collision for collision, wins in decided if wins])
        _turn_away(arrival, [collision for collision, wins in decided if not wins])
        _raise_floor(arrival, [collision for collision, _ in decided])
        counts += Counts(conflicts=len(decided))
    return counts


def _comparable(arrival: Arrival, columns: frozenset[str]) -> bool:
    relation = arrival.stage.relation
    return columns != frozenset(relation.key) and all(relation.column(name).stage_type in EXACT for name in columns)


def _find(arrival: Arrival, sets: Sequence[Sequence[str]]) -> list[Collision]:
    stage = arrival.stage
    equal = sql.SQL(" or ").join(
        sql.SQL("({})").format(
            sql.SQL(" and ").join(
                sql.SQL("t.{} = {}").format(sql.Identifier(name), stage.value(name)) for name in columns
            )
        )
        for columns in sets
    )
    query = arrival.compose(
        "select s.ctid::text, t.tableoid::bigint, t.ctid::text, {key}, {here}, s.at, s.author,"
        " r.at, r.origin, r.author, coalesce(s.op, 'U')::text, coalesce(r.op, 'U')::text"
        " from {stage} s join {table} t on ({equal}) and not ({match})"
        " left join lateral (select (array_agg(l.origin order by l.seq desc))[1] as origin,"
        " (array_agg(l.author order by l.seq desc))[1] as author, (array_agg(l.op order by l.seq desc))[1] as op,"
        " max(l.changed_at) as at from {log} l"
        " where {of_here} and l.op <> '+') r on true"
        " where not s.gone and s.standing is distinct from 'lost'"
        " and not exists (select from {stage} o where {other}) limit 1000",
        key=stage.key_json,
        here=_key_here(arrival),
        equal=equal,
        of_here=_of_here(arrival),
        other=_staged_too(arrival),
    )
    source, target = arrival.link.source.id, arrival.link.target.id
    found: list[Collision] = []
    seen: set[object] = set()
    for staged, part, here, key, other, at, author, local_at, origin, local_author, *ops in arrival.connection.execute(
        query
    ):
        if staged in seen or (part, here) in seen:
            continue
        seen |= {staged, (part, here)}
        local = Version(local_at or conflict.EPOCH, origin or target)
        keys = sorted(str(sorted(each.items())) for each in (key, other))
        found.append(
            Collision(
                staged,
                part,
                here,
                conflict.row_name(stage.relation.name, {str(n): text for n, text in enumerate(keys)}),
                Claim(Version(at, source), author or source),
                Claim(local, local_author or local.node),
                (ops[0], ops[1]),
            )
        )
    return found


def _staged_too(arrival: Arrival) -> sql.Composed:
    """That staged row `o` is of row `t`: what becomes of that one is in the batch."""
    stage = arrival.stage
    return sql.SQL(" and ").join(
        sql.SQL("o.{} {} t.{}").format(stage.column(name), equal.as_sql(), sql.Identifier(name))
        for name, equal in zip(stage.relation.key, stage.relation.equal, strict=True)
    )


def _key_here(arrival: Arrival) -> sql.Composed:
    pairs = [
        sql.SQL("({0}, to_jsonb(t.{1}))").format(sql.Literal(name), sql.Identifier(name))
        for name in arrival.stage.relation.key
    ]
    return sql.SQL("(select jsonb_object_agg(x.k, x.v) from (values {}) x(k, v))").format(sql.SQL(", ").join(pairs))


def _of_here(arrival: Arrival) -> sql.Composed:
    relation = arrival.stage.relation
    return sql.SQL(" and ").join(
        sql.SQL("l.{} {} t.{}").format(column, equal.as_sql(), sql.Identifier(name))
        for column, name, equal in zip(arrival.columns, relation.key, relation.equal, strict=True)
    )


def _wins(arrival: Arrival, collision: Collision, answer: bool | None) -> bool | None:
    return arrival.rule.wins(collision.incoming, collision.local, collision.name) if answer is None else answer


def _ask(arrival: Arrival, found: Sequence[Collision]) -> tuple[dict[str, bool], dict[str, Unanswered]]:
    """Whether the arriving row stays, as the sync's function says; on which staged rows it failed, with why."""
    answers: dict[str, bool] = {}
    failed: dict[str, Unanswered] = {}
    if arrival.resolver is None or not found:
        return answers, failed
    for collision, question in _questions(arrival, found):
        try:
            answer = judged(arrival.resolver.answer(arrival.connection, question))
            if isinstance(answer, Merged):
                raise Unanswered(MUST_CHOOSE, "22023")
        except Unanswered as error:
            failed[collision.staged] = error
        else:
            if answer is not None:
                answers[collision.staged] = answer == collision.incoming_is_later
    return answers, failed


def _questions(arrival: Arrival, found: Sequence[Collision]) -> Iterator[tuple[Collision, Question]]:
    query = arrival.compose(
        "select d.id, {key}, {row}::text, {local}::text from {found}",
        key=arrival.stage.key_json,
        row=arrival.stage.row_json,
        local=local_json(arrival.stage),
        found=_found(arrival, found),
    )
    rows = {id_: (key, row, local) for id_, key, row, local in arrival.connection.execute(query).fetchall()}
    for collision in found:
        key, *images = rows[collision.staged]
        claims = collision.incoming, collision.local
        sides = [side(arrival, claim, op) for claim, op in zip(claims, collision.ops, strict=True)]
        if not collision.incoming_is_later:
            images.reverse()
            sides.reverse()
        table = arrival.stage.relation.name
        yield collision, Question(images[0], images[1], info(arrival.link.sync.name, table, "unique key", key, *sides))


def _set_aside(arrival: Arrival, failed: Mapping[str, Unanswered]) -> None:
    park.set_aside(arrival.connection, arrival.link, arrival.stage, failed)
    arrival.execute("delete from {stage} s where s.ctid = any({ids}::tid[])", ids=sql.Literal(list(failed)))


def _listed(collisions: Sequence[Collision]) -> dict[str, sql.Composable]:
    times = [conflict.anew(each.incoming.version, each.local.version) for each in collisions]
    return {
        "ids": sql.Literal([each.staged for each in collisions]),
        "parts": sql.Literal([each.part for each in collisions]),
        "heres": sql.Literal([each.here for each in collisions]),
        "times": sql.Literal(times),
    }


HERE = (
    "unnest({ids}::text[], {parts}::bigint[], {heres}::text[], {times}::timestamptz[]) d(id, part, here, at)"
    " join {stage} s on s.ctid = d.id::tid join {table} t on t.tableoid = d.part::oid and t.ctid = d.here::tid"
)


def _found(arrival: Arrival, collisions: Sequence[Collision]) -> sql.Composed:
    return arrival.compose(HERE, **_listed(collisions))


def _note(arrival: Arrival, decided: Sequence[tuple[Collision, bool]]) -> None:
    link, stage = arrival.link, arrival.stage
    collisions = [collision for collision, _ in decided]
    arrival.execute(
        "insert into {ledger} (sync, schema_name, table_name, key, source, incoming_op, incoming_at, incoming_row,"
        " local_op, local_at, local_row, incoming_wins, rule)"
        " select {sync}, {schema}, {table_name}, {key}, {source}, s.op, s.at, {row}, 'K', w.local_at, {local}, w.wins,"
        " {rule} from {found} join unnest({ids}::text[], {locals}::timestamptz[], {wins}::boolean[])"
        " w(id, local_at, wins) on w.id = d.id",
        found=_found(arrival, collisions),
        ledger=sql.Identifier(link.install.schema, "conflict"),
        sync=sql.Literal(link.sync.name),
        schema=sql.Literal(stage.relation.name.schema),
        table_name=sql.Literal(stage.relation.name.name),
        key=stage.key_json,
        source=sql.Literal(link.source.name),
        row=stage.row_json,
        local=local_json(stage),
        rule=sql.Literal(arrival.rule.text or str(arrival.rule.kind)),
        locals=sql.Literal([each.local.version.at for each in collisions]),
        wins=sql.Literal([wins for _, wins in decided]),
        **_listed(collisions),
    )


def _give_way(arrival: Arrival, collisions: Sequence[Collision]) -> None:
    """Delete the rows here that lose, as new versions of this node."""
    if not collisions:
        return
    keys = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in arrival.log.key)
    parts = {**_listed(collisions), "columns": sql.SQL(", ").join(arrival.columns), "keys": keys}
    arrival.execute(
        "insert into {log} ({columns}, changed_at, op, author) select {keys}, d.at, 'D', {target} from {found}",
        found=_found(arrival, collisions),
        target=sql.Literal(arrival.link.target.id),
        **parts,
    )
    arrival.execute(
        "delete from {table} t using unnest({ids}::text[], {parts}::bigint[], {heres}::text[]) d(id, part, here)"
        " where t.tableoid = d.part::oid and t.ctid = d.here::tid",
        **parts,
    )


def _turn_away(arrival: Arrival, collisions: Sequence[Collision]) -> None:
    """Take staged rows that lose out: a new row is deleted everywhere, a changed one becomes again what it is here."""
    if not collisions:
        return
    stage = arrival.stage
    arrival.execute(
        "insert into {log} ({columns}, changed_at, op, author) select {values}, d.at,"
        " case when exists (select from {table} t where {match}) then 'U' else 'D' end::\"char\", {target}"
        " from unnest({ids}::text[], {times}::timestamptz[]) d(id, at) join {stage} s on s.ctid = d.id::tid",
        columns=sql.SQL(", ").join(arrival.columns),
        values=sql.SQL(", ").join(stage.value(name) for name in arrival.log.key),
        target=sql.Literal(arrival.link.target.id),
        **_listed(collisions),
    )
    ids = sql.Literal([each.staged for each in collisions])
    arrival.execute("delete from {stage} s where s.ctid = any({ids}::tid[])", ids=ids)


def _raise_floor(arrival: Arrival, collisions: Sequence[Collision]) -> None:
    latest = max(conflict.anew(each.incoming.version, each.local.version) for each in collisions)
    arrival.execute(
        "update {node} set floor = {at} where {at} > clock_timestamp() and {at} > floor", at=sql.Literal(latest)
    )

"""Has the function of a sync asked about rivals: what it is told of them, and what its answers come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from replicator.apply import merging
from replicator.apply.arrival import Arrival, local_json
from replicator.apply.resolver import Answer, Merged, Question, Unanswered, info, judged, told
from replicator.apply.rival import Rival
from replicator.conflict import Claim


def ask(arrival: Arrival, rivals: Sequence[Rival]) -> tuple[dict[str, Answer], dict[str, Unanswered]]:
    """What the sync's function says, by the staged row, and on which rows it failed, with why.

    Those on which it has no opinion, and those that need none, are in neither. A merged row comes back whole, and has
    been tried.
    """
    answers: dict[str, Answer] = {}
    failed: dict[str, Unanswered] = {}
    asked = {r.id: r for r in rivals if not r.same and not (r.incoming.settled and r.local.settled)}
    if arrival.resolver is None or not asked:
        return answers, failed
    for id_, question in _questions(arrival, asked):
        try:
            answer = judged(arrival.resolver.answer(arrival.connection, question))
            if isinstance(answer, Merged):
                answer = Merged(merging.attempt(arrival, asked[id_], answer.row))
        except Unanswered as error:
            failed[id_] = error
        else:
            if answer is not None:
                answers[id_] = answer
    return answers, failed


def _questions(arrival: Arrival, by_id: Mapping[str, Rival]) -> Iterator[tuple[str, Question]]:
    stage = arrival.stage
    query = arrival.compose(
        "select s.ctid::text, {key}, s.op::text, case when not s.gone then {row} end::text,"
        " case when t.{first} is not null then {local} end::text"
        " from {stage} s left join {table} t on {match} where s.ctid = any({ids}::tid[])",
        key=stage.key_json,
        row=stage.row_json,
        first=sql.Identifier(stage.relation.key[0]),
        local=local_json(stage),
        ids=sql.Literal(list(by_id)),
    )
    for id_, key, op, incoming, local in arrival.connection.execute(query).fetchall():
        rival = by_id[id_]
        sides = side(arrival, rival.incoming, op), side(arrival, rival.local, rival.local_op)
        table = stage.relation.name
        yield id_, Question(incoming, local, info(arrival.link.sync.name, table, "row", key, *sides))


def side(arrival: Arrival, claim: Claim, op: str) -> dict[str, object]:
    """What a function is told of one side of a conflict that is met here."""
    return told(arrival.names.get(claim.author), claim.version.at, op)

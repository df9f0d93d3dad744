"""Has the function of a sync asked about rivals: what it is told of them, and what its answers come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from replicator.apply import merging
from replicator.apply.arrival import Arrival, local_json
from replicator.apply.resolver import Answer, Merged, Question, Resolver, Unanswered, alike, info, judged, told
from replicator.apply.rival import Rival
from replicator.conflict import Claim, merges_again


def ask(arrival: Arrival, rivals: Sequence[Rival]) -> tuple[dict[str, Answer], dict[str, Unanswered]]:
    """What the sync's function says, by the staged row, and on which rows it failed, with why.

    Those on which it has no opinion, and those that need none, are in neither. A merged row comes back whole, and has
    been tried. Of two settled versions only a merged row counts: otherwise the later one stays.
    """
    answers: dict[str, Answer] = {}
    failed: dict[str, Unanswered] = {}
    asked = {rival.id: rival for rival in rivals if _asks(arrival, rival)}
    if arrival.resolver is None or not asked:
        return answers, failed
    for id_, question in _questions(arrival, asked):
        try:
            answer = _answer(arrival, arrival.resolver, asked[id_], question)
        except Unanswered as error:
            if not asked[id_].settled:
                failed[id_] = error
        else:
            if answer is not None:
                answers[id_] = answer
    return answers, failed


def _answer(arrival: Arrival, asked: Resolver, rival: Rival, question: Question) -> Answer:
    answer = judged(asked.answer(arrival.connection, question))
    if isinstance(answer, Merged):
        answer = Merged(merging.attempt(arrival, rival, answer.row))
    if rival.settled and not (isinstance(answer, Merged) and _absorbs(arrival, asked, question, answer)):
        return None
    return answer


def _absorbs(arrival: Arrival, asked: Resolver, question: Question, merged: Merged) -> bool:
    """Whether the function adds nothing to a row that it has made when it is given one of its two again.

    One that sums up or appends does: asked again and again, on several nodes, it would not come to an end.
    """
    once_more = judged(asked.answer(arrival.connection, replace(question, incoming=merged.row)))
    return isinstance(once_more, Merged) and alike(once_more.row, merged.row)


def _asks(arrival: Arrival, rival: Rival) -> bool:
    again = merges_again(rival.incoming, rival.local, arrival.link.target.id)
    return not rival.same and (again or not rival.settled)


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
    for id_, key, op, *images in arrival.connection.execute(query).fetchall():
        rival = by_id[id_]
        sides = [side(arrival, rival.incoming, op), side(arrival, rival.local, rival.local_op)]
        if rival.settled and rival.local.version > rival.incoming.version:
            # Both authors may ask: told the same, they come to the same, and have nothing more to settle.
            sides.reverse()
            images.reverse()
        table = stage.relation.name
        yield id_, Question(images[0], images[1], info(arrival.link.sync.name, table, "row", key, *sides))


def side(arrival: Arrival, claim: Claim, op: str) -> dict[str, object]:
    """What a function is told of one side of a conflict that is met here."""
    return told(arrival.names.get(claim.author), claim.version.at, op)

"""Which numbers two masters hand out: never the same, whatever their sequences were before, up or down."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from replicator.errors import InvalidTopology, SchemaMismatch
from replicator.model import Database, Sync, SyncType, TableName
from replicator.sequences.shares import AHEAD, Share, Standing, apart, check, moved, share

NAME = TableName("public", "s")
BIG = 2**63 - 1


def standing(last: int = 1, *, called: bool = True, **fields: object) -> Standing:
    found = Standing(
        name=NAME, increment=1, start=1, least=1, most=BIG, cycles=False, last=last, called=called, beyond=None
    )
    return replace(found, **fields)  # type: ignore[arg-type]


def downwards(found: Standing) -> Standing:
    beyond = None if found.beyond is None else -found.beyond
    return replace(
        found,
        **{"increment": -found.increment, "start": -found.start, "last": -found.last, "beyond": beyond},
        **{"least": -BIG, "most": -1},
    )


def numbers(found: Standing, count: int = 50) -> list[int]:
    return [found.way * (found.next + number * abs(found.increment)) for number in range(count)]


def kept_apart(*ends: tuple[Standing, Share]) -> list[Standing]:
    moves = apart(*ends)  # type: ignore[arg-type]
    return [moved(found, move) if move else found for (found, _), move in zip(ends, moves, strict=True)]


@pytest.mark.parametrize("down", [False, True])
def test_sequences_that_were_never_shared(down: bool) -> None:
    ends = [standing(100), standing(7, beyond=40)]
    if down:
        ends = [downwards(found) for found in ends]
    one, other = kept_apart((ends[0], Share(1, 16)), (ends[1], Share(2, 16)))
    sign = -1 if down else 1
    first = (7 + AHEAD) * 16  # 100 lies in round 6
    assert numbers(one, 2) == [sign * (first + 1), sign * (first + 17)]
    assert numbers(other, 2) == [sign * (first + 2), sign * (first + 18)]
    assert (one.start, other.start) == (sign * 113, sign * 50)
    assert apart((one, Share(1, 16)), (other, Share(2, 16))) == (None, None)


def test_a_master_that_comes_later_begins_beyond_the_others_and_leaves_them_alone() -> None:
    there = standing(163, increment=16, start=3)
    moves = apart((there, Share(3, 16)), (standing(1, called=False), Share(4, 16)))
    assert moves[0] is None and moves[1] is not None
    assert (moves[1].start, moves[1].restart) == (4, 180)


def test_one_whose_own_numbers_are_further_moves_the_other() -> None:
    there = standing(163, increment=16, start=3)
    one, other = kept_apart((there, Share(3, 16)), (standing(5000), Share(4, 16)))
    assert one.start == 3 and one.next > 5000 < other.next


def test_a_larger_step_takes_over_from_a_smaller() -> None:
    ends = (standing(161, increment=16, start=1), Share(1, 32)), (standing(130, increment=16, start=2), Share(2, 32))
    one, other = kept_apart(*ends)
    assert not {*numbers(one)} & {*numbers(other)}
    assert min(numbers(one) + numbers(other)) > 161


def test_no_two_masters_hand_out_one_number_whatever_happens() -> None:
    """Random histories of three masters: numbers are taken at any time, pairs are kept apart in any order."""
    for seed in range(300):
        chance = random.Random(seed)
        down = chance.random() < 0.3
        ends = [standing(chance.randint(1, 400), called=chance.random() < 0.8) for _ in range(3)]
        ends = [downwards(found) for found in ends] if down else ends
        places = [Share(place, 4) for place in chance.sample(range(1, 5), 3)]
        before = [{*range(1, found.used + 1)} for found in ends]  # times `way`
        done: set[tuple[int, int]] = set()
        after: list[set[int]] = [set(), set(), set()]
        for _ in range(30):
            a, b = sorted(chance.sample(range(3), 2))
            if chance.random() < 0.4:
                ends[a], ends[b] = kept_apart((ends[a], places[a]), (ends[b], places[b]))
                done.add((a, b))
            elif done >= {(0, 1), (0, 2), (1, 2)}:
                taken = ends[a].next
                after[a].add(taken)
                ends[a] = replace(ends[a], last=ends[a].way * taken, called=True)
        for a in range(3):
            for b in range(3):
                if a != b:
                    assert not after[a] & (after[b] | before[b]), f"seed {seed}"


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match="NO CYCLE"):
        check(standing(cycles=True), "m1")
    with pytest.raises(SchemaMismatch, match=r"increments by 50.*increment by 1\."):
        check(standing(increment=50), "m1")
    check(standing(increment=-2), "m1")
    with pytest.raises(SchemaMismatch, match="larger type"):
        apart((standing(32000, most=32767), Share(1, 16)), (standing(1), Share(2, 16)))


def test_two_databases_with_one_share_are_refused() -> None:
    sync = Sync(name="s", type=SyncType.SWAP, herd="h", targets=())
    members = [Database(name=name, dbname=name, id=id_) for name, id_ in (("a", 1), ("b", 2), ("c", 17))]
    assert share(sync, members[:2], members[1]) == Share(2, 16)
    with pytest.raises(InvalidTopology, match=r"a and c.*--sequence-step 32"):
        share(sync, members, members[1])
    assert share(replace(sync, sequence_step=32), members, members[2]) == Share(17, 32)


def test_a_master_that_meets_one_of_two_is_apart_from_the_other_too() -> None:
    one, other = kept_apart((standing(900), Share(1, 4)), (standing(4000), Share(2, 4)))
    before = {*range(1, 4001)}
    new = kept_apart((one, Share(1, 4)), (standing(1, called=False), Share(3, 4)))[1]
    assert not {*numbers(new)} & (before | {*numbers(one)} | {*numbers(other)})

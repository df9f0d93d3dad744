"""Snapshots against their meaning: a set of transactions, and histories in which each commit is in one batch only."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.snapshot import NOTHING, Snapshot

LIMIT = 40


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """As a server makes them: xmax follows a transaction that has ended, xmin is the oldest still running."""
    xmax = draw(st.integers(1, LIMIT))
    running = draw(st.sets(st.integers(1, xmax - 2))) if xmax > 2 else set()
    return Snapshot(min(running, default=xmax), xmax, frozenset(running))


class History:
    """What a server does, in miniature: transactions begin and end, in any order."""

    def __init__(self) -> None:
        self.next = 1
        self.running: set[int] = set()
        self.ended: set[int] = set()

    def begin(self) -> None:
        self.running.add(self.next)
        self.next += 1

    def end(self, choice: int) -> None:
        if self.running:
            xid = sorted(self.running)[choice % len(self.running)]
            self.running.remove(xid)
            self.ended.add(xid)

    def snapshot(self) -> Snapshot:
        xmax = max(self.ended, default=0) + 1
        running = frozenset(xid for xid in self.running if xid < xmax)
        return Snapshot(min(running, default=xmax), xmax, running)


STEPS = st.lists(st.one_of(st.just("begin"), st.just("snapshot"), st.integers(0, 9)), max_size=60)


def play(steps: list[str | int]) -> tuple[History, list[Snapshot]]:
    history, taken = History(), [NOTHING]
    for step in steps:
        if step == "begin":
            history.begin()
        elif isinstance(step, int):
            history.end(step)
        else:
            taken.append(history.snapshot())
    return history, taken


@given(snapshots())
def test_text_form_is_read_back(snapshot: Snapshot) -> None:
    assert Snapshot.parse(str(snapshot)) == snapshot


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10:20:10,14,15", Snapshot(10, 20, frozenset({10, 14, 15}))),
        ("7:7:", Snapshot(7, 7)),
        (" 7:7:\n", Snapshot(7, 7)),
        ("9223372036854775806:9223372036854775807:", Snapshot(2**63 - 2, 2**63 - 1)),
    ],
)
def test_reads_what_postgresql_prints(text: str, expected: Snapshot) -> None:
    assert Snapshot.parse(text) == expected


@given(st.one_of(st.text(), st.sampled_from(["", "1", "1:2", "1:2:3:4", "a:b:", "1:2:x", "1:2:3;4", "::"])))
def test_other_texts_are_refused_by_name(text: str) -> None:
    try:
        snapshot = Snapshot.parse(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert Snapshot.parse(str(snapshot)) == snapshot


def test_sees_what_has_ended() -> None:
    snapshot = Snapshot.parse("10:20:10,14")
    assert [xid for xid in range(8, 22) if not snapshot.sees(xid)] == [10, 14, 20, 21]


@given(snapshots())
def test_settled_means_that_all_before_xmax_is_seen(snapshot: Snapshot) -> None:
    assert snapshot.settled == all(snapshot.sees(xid) for xid in range(snapshot.xmax))


@given(snapshots(), snapshots())
def test_covers_is_inclusion(one: Snapshot, other: Snapshot) -> None:
    seen = {xid for xid in range(1, LIMIT + 1) if one.sees(xid)}
    seen_by_other = {xid for xid in range(1, LIMIT + 1) if other.sees(xid)}
    assert one.covers(other) == (seen >= seen_by_other)


@given(snapshots())
def test_nothing_is_covered_by_all(snapshot: Snapshot) -> None:
    assert snapshot.covers(NOTHING)
    assert not any(NOTHING.sees(xid) for xid in range(1, LIMIT))


@given(STEPS)
def test_later_snapshots_cover_earlier_ones(steps: list[str | int]) -> None:
    _, taken = play(steps)
    assert all(later.covers(earlier) for earlier, later in itertools.pairwise(taken))


@given(STEPS)
def test_each_transaction_is_in_exactly_one_batch(steps: list[str | int]) -> None:
    history, taken = play([*steps, "snapshot"])
    batches = [
        {xid for xid in range(1, history.next) if later.sees(xid) and not earlier.sees(xid)}
        for earlier, later in itertools.pairwise(taken)
    ]
    sent = [xid for batch in batches for xid in batch]
    assert sorted(sent) == sorted(history.ended)


@given(STEPS)
def test_no_transaction_of_a_batch_is_below_the_index_range(steps: list[str | int]) -> None:
    history, taken = play([*steps, "snapshot"])
    for earlier, later in itertools.pairwise(taken):
        batch = [xid for xid in range(1, history.next) if later.sees(xid) and not earlier.sees(xid)]
        assert all(xid >= earlier.xmin for xid in batch)

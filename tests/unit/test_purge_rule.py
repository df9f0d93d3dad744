"""The rule of the purge: nothing goes that somebody has not seen; versions of a swap stay two generations longer."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from replicator.progress import Origin
from replicator.purge.rule import Generations, Look, Reader, horizon
from replicator.snapshot import NOTHING, Snapshot

LATER = Snapshot(1000, 1000)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    xmax = draw(st.integers(1, 60))
    running = draw(st.frozensets(st.integers(1, 59).filter(lambda xid: xid < xmax), max_size=8)) if xmax > 1 else ()
    return Snapshot(min(running, default=xmax), xmax, frozenset(running))


@given(st.lists(snapshots(), max_size=5), snapshots())
def test_nothing_goes_that_a_reader_has_not_seen(seen: list[Snapshot], now: Snapshot) -> None:
    held = horizon([Reader(f"link {n}", snapshot) for n, snapshot in enumerate(seen)], now)
    for xid in range(1, held.xid):
        assert all(snapshot.sees(xid) for snapshot in seen)
        assert now.sees(xid)


@given(st.lists(snapshots(), min_size=1, max_size=5))
def test_all_goes_that_is_older_than_every_transaction_in_progress(seen: list[Snapshot]) -> None:
    held = horizon([Reader(f"link {n}", snapshot) for n, snapshot in enumerate(seen)], LATER)
    assert held.xid == min(snapshot.xmin for snapshot in seen)
    assert held.holder == f"link {[snapshot.xmin for snapshot in seen].index(held.xid)}"


@given(st.lists(snapshots(), max_size=3), st.lists(snapshots(), max_size=3))
def test_one_who_has_seen_nothing_known_keeps_everything(before: list[Snapshot], after: list[Snapshot]) -> None:
    readers = [Reader("x", s) for s in before] + [Reader("lost", None, "it is gone")] + [Reader("y", s) for s in after]
    held = horizon(readers, LATER)
    assert (held.xid, held.holder) == (0, "lost: it is gone")


def test_a_log_that_nobody_reads_goes() -> None:
    assert horizon([], Snapshot(7, 9, frozenset({7}))).xid == 7


# --- generations


def origin(timeline: int = 1) -> Origin:
    return Origin(UUID(int=1), "system", timeline, 5)


BOTH = {"a": origin(), "b": origin()}


def at(xid: int) -> Snapshot:
    return Snapshot(xid, xid)


def look(xid: int) -> Look:
    return Look(at(xid), at(xid))


def test_two_generations_must_end() -> None:
    generations = Generations()
    now = 10
    for ended in range(3):
        assert (generations.settled("a") is not None) is (ended >= 2)
        generations.advance(BOTH, {"a": look(now), "b": look(now)}, {})
        now += 1
        generations.advance(BOTH, {"a": look(now), "b": look(now)}, {("a", "b"): at(now), ("b", "a"): at(now)})
    assert generations.settled("a") == at(11)


@pytest.mark.parametrize(
    "positions",
    [
        {},
        {("a", "b"): at(50)},
        {("a", "b"): at(50), ("b", "a"): None},
        {("a", "b"): at(50), ("b", "a"): at(9)},
        {("a", "b"): Snapshot(9, 50, frozenset({9})), ("b", "a"): at(50)},
        {("a", "b"): NOTHING, ("b", "a"): at(50)},
    ],
)
def test_a_generation_goes_on_until_every_pair_has_passed_its_beginning(
    positions: dict[tuple[str, str], Snapshot | None],
) -> None:
    generations = Generations()
    for _ in range(5):
        generations.advance(BOTH, {"a": look(10), "b": look(10)}, positions)
    assert generations.ended == ()


def test_a_member_of_another_history_or_name_begins_all_anew() -> None:
    for changed in ({"a": origin(2), "b": origin()}, {"a": origin(), "c": origin()}):
        generations = Generations()
        for now in range(10, 20):
            where = {name: look(now) for name in BOTH}
            generations.advance(BOTH, where, {("a", "b"): at(now), ("b", "a"): at(now)})
        assert generations.settled("a")
        generations.advance(changed, {name: look(5) for name in changed}, {})
        assert (generations.settled("a"), generations.ended) == (None, ())


@dataclass
class Node:
    """A member of a simulated swap: transactions that are begun and ended, rows that they wrote."""

    next_xid: int = 1
    running: set[int] = field(default_factory=set)

    def snapshot(self) -> Snapshot:
        return Snapshot(min(self.running, default=self.next_xid), self.next_xid, frozenset(self.running))


EVENTS = st.lists(
    st.tuples(st.sampled_from(["write", "begin", "end", "batch", "batch", "purge"]), st.sampled_from(["a", "b"])),
    min_size=8,
    max_size=60,
)


@dataclass
class Swap:
    """Two members and their links. learned: of each row of one node, the other's snapshot when it arrived there."""

    nodes: dict[str, Node] = field(default_factory=lambda: {"a": Node(), "b": Node()})
    positions: dict[tuple[str, str], Snapshot | None] = field(default_factory=dict)
    learned: dict[tuple[str, int], Snapshot] = field(default_factory=dict)
    generations: Generations = field(default_factory=Generations)

    def act(self, event: str, name: str) -> None:
        node, other = self.nodes[name], "b" if name == "a" else "a"
        if event == "end":
            node.running.discard(min(node.running, default=0))
        elif event == "batch":
            self.positions[name, other] = seen = node.snapshot()
            for xid in filter(seen.sees, range(1, node.next_xid)):
                self.learned.setdefault((name, xid), self.nodes[other].snapshot())
        elif event == "purge":
            self.generations.advance(
                BOTH, {n: Look(node.snapshot(), node.snapshot()) for n, node in self.nodes.items()}, self.positions
            )
        else:
            if event == "begin":
                node.running.add(node.next_xid)
            node.next_xid += 1

    def arrived(self, source: str, target: str, before: Snapshot) -> bool:
        """Whether everything that a snapshot of `source` sees has come to `target`."""
        seen = self.positions.get((source, target)) or NOTHING
        return all(seen.sees(xid) for xid in filter(before.sees, range(1, self.nodes[source].next_xid)))


@settings(max_examples=300)
@example(
    [
        *(("write", "a"), ("purge", "a"), ("batch", "b"), ("write", "b"), ("batch", "a"), ("purge", "a")),
        *(("batch", "a"), ("purge", "a"), ("batch", "b"), ("purge", "a")),
    ]
)
@given(EVENTS)
def test_a_version_stays_until_what_was_written_without_it_has_arrived(events: list[tuple[str, str]]) -> None:
    """For each row that may go: B has it, and A has everything that B wrote before B had it."""
    swap = Swap()
    for event, name in events:
        swap.act(event, name)
        for node, other in (("a", "b"), ("b", "a")):
            settled = swap.generations.settled(node)
            for xid in range(1, settled.xmin if settled else 1):
                assert swap.arrived(other, node, swap.learned[node, xid])

"""Random histories of swaps end well under every strategy, and do not where a rule of the engine's is turned off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from replicator import conflict
from tests.simulator.history import HOUR, PACES, RULES, Event, History, draw, play, report, shrink, with_rows
from tests.simulator.world import Rules

FIRST = int(os.environ.get("PGHERD_TEST_SEED") or 1)
HISTORIES = 1000


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("strategy", RULES)
def test_all_masters_come_to_the_same_and_nothing_is_lost(strategy: str, part: int) -> None:
    for seed in range(FIRST + part, FIRST + HISTORIES, 2):
        history = draw(seed, strategy)
        if problem := play(history):
            pytest.fail(report(history, problem), pytrace=False)


@pytest.mark.parametrize("strategy", RULES)
def test_counters_of_rows_that_are_not_everywhere_yet_add_up(strategy: str) -> None:
    for seed in range(FIRST, FIRST + HISTORIES // 10):
        history = with_rows(draw(seed, strategy))
        if problem := play(history):
            pytest.fail(report(history, problem), pytrace=False)


ROWS_NEED = {
    "waiting for the row": Rules(early=False),
    "leaving out what others gained": Rules(own_part=False),
    "counting up what comes before its maker's part": Rules(parts=False),
}


@pytest.mark.parametrize("rule", ROWS_NEED)
def test_a_row_that_is_new_needs_each_rule(rule: str) -> None:
    for strategy in ("latest", "order", "random", "source"):
        histories = [with_rows(draw(seed, strategy)) for seed in range(1, 40)]
        assert any("counter 1" in play(history, rules=ROWS_NEED[rule]) for history in histories), strategy


KNOWN_TO_NEED = {
    "floor": (Rules(floor=False), [("order", 8022), ("random", 1782), ("source", 1047)]),
    "re-reading once rows are locked": (
        Rules(reread=False),
        [("latest", 1), ("order", 9), ("random", 14), ("source", 6)],
    ),
    "looking once it is written ahead": (
        Rules(look=False),
        [("latest", 4), ("order", 2), ("random", 4), ("source", 3)],
    ),
    "a floor above what was not noted": (
        Rules(floor_for_silence=False),
        [("latest", 168122026), ("order", 168127270), ("random", 168139742), ("source", 168121260)],
    ),
    "noting what arrives, for a third master": (
        Rules(notes=False),
        [("latest", 268), ("order", 465), ("random", 476), ("source", 201)],
    ),
    "two generations": (
        Rules(generations=False),
        [("latest", 1560), ("order", 1085), ("random", 320), ("source", 827)],
    ),
}


@pytest.mark.parametrize("rule", KNOWN_TO_NEED)
def test_no_rule_can_be_left_out(rule: str) -> None:
    without, histories = KNOWN_TO_NEED[rule]
    for strategy, seed in histories:
        history = draw(seed, strategy)
        assert not play(history), f"{strategy}, seed {seed} goes wrong even with every rule"
        assert play(history, rules=without), f"{strategy}, seed {seed} goes well without the rule, too"


def test_a_generation_ends_by_a_second_look_at_the_nodes() -> None:
    """A version that is written and applied between two looks; its rival arrives when two generations have ended."""
    wait: list[Event] = [("heal", (1, 1))] * 7
    back: list[Event] = [("run", pair) for pair in ((1, 3), (2, 1), (2, 3), (3, 1), (3, 2))]
    events = (
        *[("survey", (1, 1)), ("write", (1, 9, 0, 0, 0)), ("run", (1, 3)), *wait, *back],
        *[("survey", (1, 1)), *wait, *back],
        *[("write", (2, 9, 0, 0, 0)), ("read", (2, 3)), ("run", (1, 2)), ("survey", (1, 1)), *wait],
        *[("purge", (3, 3)), ("lock", (2, 3)), ("land", (2, 3))],
    )
    history = History(PACES.index(1), "latest", 3, 1, (HOUR, 0, 0), events)
    assert not play(history)
    assert "on 1" in play(history, rules=Rules(second_look=False))


def test_versions_must_be_later_than_what_they_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflict, "effective", lambda local, _remote: local)
    assert all(play(draw(seed, "latest")) for seed in (501, 1979))


def test_a_failure_is_shrunk_and_says_how_to_see_it_again() -> None:
    without = Rules(reread=False)
    history = next(found for seed in range(50) if play(found := draw(seed, "latest"), rules=without))
    shortest = shrink(history, without)
    assert play(history, shortest, without)
    assert len(shortest) < len(history.events) / 2
    assert f"--strategy latest --seed {history.seed}" in report(history, "wrong", without)


def test_a_seed_is_always_the_same_history() -> None:
    assert draw(7, "random") == draw(7, "random")
    assert isinstance(draw(7, "random"), History)


def test_the_makefile_plays_them_too() -> None:
    assert "tests.simulator -n $(N)" in Path("Makefile").read_text()

"""A process of the replicator is killed at each failpoint, under load: then all nodes agree, and nothing is missing.

Once at each in the suite; `make chaos MINUTES=10` goes on with other seeds, meets the failpoints at any time that they
are passed, and says what it did and found. ARGS="--failpoint NAME" kills at that one only.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from replicator.failpoint import NAMES, Name
from tests.chaos.acts import ACTS, STEPS
from tests.chaos.declared import PUSHED, SWAP
from tests.chaos.judge import Verdict
from tests.chaos.scene import Act, Scene
from tests.fixtures.nodes import Node, NodeFactory

SECONDS = float(os.environ.get("PGHERD_TEST_CHAOS_SECONDS") or 0)
SEED = int(os.environ.get("PGHERD_TEST_SEED") or 1)

MakeScene = Callable[..., Scene]


@pytest.fixture
def scene(node_factory: NodeFactory, catalog_node: Node, tmp_path: Path) -> Iterator[MakeScene]:
    made: list[Scene] = []

    def make(**options: object) -> Scene:
        made.append(Scene(node_factory, catalog_node, tmp_path, **options))  # type: ignore[arg-type]
        made[-1].begin()
        return made[-1]

    yield make
    for each in made:
        each.close()


def play(scene: Scene, acts: Sequence[Act], chosen: str | None, *, timed: bool) -> None:
    """One round: these acts, under load."""
    acts = list(acts)
    if timed:
        scene.chance.shuffle(acts)
    with scene.load():
        for act in acts:
            if names := _names(scene, act, chosen, timed):
                scene.play(act, names, timed=timed)


def _names(scene: Scene, act: Act, chosen: str | None, timed: bool) -> Sequence[Name]:
    names = [name for name in act.names if chosen in (None, name)]
    if timed and act.flowing:
        scene.chance.shuffle(names)
    return names


def test_each_failpoint_belongs_to_one_act() -> None:
    assert sorted(
        [*(name for act in ACTS for name in act.names), *(n for some in STEPS.values() for n in some)]
    ) == sorted(NAMES)


@pytest.mark.parametrize("pushed", [PUSHED, ("w",)], ids=["read by others", "by themselves"])
def test_nothing_is_lost_by_dying_at_any_failpoint(
    scene: MakeScene, request: pytest.FixtureRequest, pushed: Sequence[str]
) -> None:
    """By themselves two masters do not note what arrives, until a third one joins them."""
    chosen = request.config.getoption("--failpoint", default=None)
    acts = [act for act in ACTS if pushed is PUSHED or act.role == SWAP]
    masters = 2 if not SECONDS or pushed is not PUSHED else 3
    made = scene(seed=SEED, pushed=pushed, masters=masters, **({} if SECONDS else {"pace": 0.3}))
    end = time.monotonic() + SECONDS / 4
    while True:
        began = time.monotonic()
        play(made, acts, chosen, timed=bool(SECONDS))
        at_rest = time.monotonic()
        verdict = made.judge()
        print(report(made, verdict, at_rest - began, time.monotonic() - at_rest))
        assert not verdict.problems, "\n".join(verdict.problems)
        if time.monotonic() >= end:
            break
    assert set(made.tally.kills) == {name for act in acts for name in act.names if chosen in (None, name)}


def report(scene: Scene, verdict: Verdict, load: float, rest: float) -> str:
    """What was done and found since the beginning, for people."""
    tally = scene.tally
    lines = [
        f"\nseed {scene.seed}: {sum(tally.kills.values())} kills at {len(tally.kills)} failpoints, the last"
        f" {load:.0f} s under load, at rest {rest:.1f} s later;",
        f"{scene.written.acknowledged} writes acknowledged, {verdict.conflicts} conflicts, {verdict.parked} parked",
    ]
    if tally.recoveries:
        lines.append(f"recovered within {sorted(tally.recoveries)[len(tally.recoveries) // 2]:.2f} s (median),")
        lines.append(f"{max(tally.recoveries):.2f} s (most)")
    if SECONDS:
        lines += [f"  {count:4} {name}, met {tally.met[name]} times" for name, count in sorted(tally.kills.items())]
    return "\n".join([*lines, *(f"  WRONG: {problem}" for problem in verdict.problems)])


@pytest.mark.parametrize(
    ("bug", "name", "hit", "found"),
    [
        ("position_before_rows", "commit.before", 4, "differs|of the slave|neither there nor named"),
        ("position_after_rows", "commit.after", 4, "counters|h: |differs"),
        ("no_ledger", "resolve.after-ledger", 6, "neither there nor named"),
    ],
)
def test_the_judge_finds_a_broken_engine_out(scene: MakeScene, bug: str, name: Name, hit: int, found: str) -> None:
    made = scene(masters=2, pace=0.3, bug=bug)
    problems: Sequence[str] = ()
    for _ in range(5):  # one death does not always hit a change that nothing else covers
        made.engine.bug = bug
        with made.load():
            made.kill_at(SWAP, name, hit)
            if bug != "no_ledger":
                made.engine.bug = ""  # what it has done is not undone by an engine in order, which lets all arrive
            made.recover(SWAP)
        problems = made.judge().problems
        if any(re.search(found, problem) for problem in problems):
            return
    raise AssertionError(f"a broken engine passed; found: {problems}")

"""The acts: which failpoints are reached in which process, and what must be asked for so that they are.

Within an act a process is killed at one failpoint after the other; each of its starts goes on with what the death
before has left. So the failpoints of an act stand in the order in which they are met.
"""

from __future__ import annotations

from replicator.failpoint import Name
from tests.chaos.declared import FULL, PUSH, SWAP
from tests.chaos.engine import PURGE
from tests.chaos.scene import Act

ACTS = (
    Act(
        "batches between masters",
        SWAP,
        (
            *("prepare.before-capture", "prepare.after-capture", "prepare.after-copy", "read.after-snapshot"),
            *("read.before-write", "lock.before-position", "lock.after-position", "apply.before-table"),
            *("stage.before-fill", "stage.in-copy", "stage.after-fill", "lock.before-rows", "apply.before-look"),
            *("lock.after-rows", "resolve.before-ledger", "resolve.after-ledger", "collide.after-ledger"),
            *("count.after-adding", "apply.before-rows", "apply.after-rows", "apply.after-log", "save.before-tables"),
            *("save.before-position", "save.after-position", "commit.before-durable", "commit.after-durable"),
            *("commit.before", "commit.after"),
        ),
        flowing=True,
    ),
    Act(
        "batches to a slave",
        PUSH,
        (
            *("park.before-letters", "park.after-letters", "apply.after-emptying"),
            *("sequence.before-write", "sequence.after-write"),
        ),
        flowing=True,
    ),
    Act(
        "a copy that was ordered",
        PUSH,
        (
            *("copy.before-begin", "copy.after-begin", "copy.in-range", "copy.after-range", "copy.before-end"),
            *("copy.before-end-commit", "copy.after-end", "once.before-done", "once.before-commit"),
        ),
        before=lambda scene: scene.copy_anew(PUSH),
    ),
    Act(
        "a kick, and whole copies",
        FULL,
        (
            *("kick.before-hand-over", "kick.after-hand-over", "fullcopy.before-emptying", "fullcopy.after-emptying"),
            *("fullcopy.after-rows", "kick.before-answer", "kick.after-answer"),
        ),
        before=lambda scene: scene.kick(),
        after=lambda scene: scene.await_answer(),
    ),
    Act("a whole copy that was ordered", FULL, ("prepare.before-forget",), before=lambda scene: scene.copy_anew(FULL)),
    Act(
        "a master that joins",
        SWAP,
        (
            *("join.before-choice", "join.before-way-back", "join.after-way-back", "join.before-opening"),
            *("join.after-opening", "join.after-versions", "join.after-floor", "join.after-copy"),
            *("join.before-third-link", "join.after-third-link"),
        ),
        before=lambda scene: scene.add_master(),
        after=lambda scene: scene.await_joined(),
    ),
    Act(
        "the purge",
        PURGE,
        ("purge.after-survey", "purge.before-note", "purge.before-commit", "purge.after-chunk"),
        flowing=True,
    ),
)

STEPS: dict[str, tuple[Name, ...]] = {
    "fill": ("fill.before-rows", "fill.after-rows", "fill.before-note", "fill.after-note"),
    "share": ("share.before-change", "share.between-commits", "share.after-commits"),
    "handover": ("handover.before-commit", "handover.after-commit"),
    "leave": (
        *("leave.before-step", "leave.after-step", "leave.before-release", "leave.after-release"),
        *("clean.after-ledger", "clean.after-node"),
    ),
    "slot": ("decode.before-slot", "decode.after-slot"),
    "decode": ("decode.before-commit", "decode.before-advance", "decode.after-advance"),
}
"""What small syncs of their own do: `test_steps`. In the order in which it is met."""

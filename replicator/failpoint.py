"""Named places in the engine at which a test ends the process, cuts it off or holds it up, to see what that does.

`failpoint("commit.before")` costs one comparison, unless the environment arms that place when the process starts:

    PGHERD_FAILPOINT=NAME[:HIT][:ACTION]

HIT: which time that the process gets there, the first by default; it acts that once. ACTION: `die` (by SIGKILL, the
default), `lose` (raise ConnectionLost) or `wait=FILE` (make FILE.reached, go on once FILE is there). The daemon hands
its environment to its controllers: each process counts for itself. What must hold afterwards is shown in `tests/chaos`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from replicator.errors import ConfigError, ConnectionLost

VARIABLE = "PGHERD_FAILPOINT"

Name = Literal[
    # making a link ready (syncrun.ready)
    "prepare.before-capture",  # connected and compared
    "prepare.after-capture",  # both ends log; nothing is known of positions
    "prepare.before-forget",  # a copy anew is due, the old position is still there
    "prepare.after-copy",  # what was missing is copied, no batch has begun
    # a batch (syncrun.batch and what it puts in order, apply)
    "read.after-snapshot",  # the batch's snapshot is taken
    "read.before-write",  # which tables changed is known, and what the source had seen
    "lock.before-position",  # the target's transaction has begun
    "lock.after-position",  # other runs of the link are kept out
    "stage.before-fill",
    "stage.in-copy",  # all of a table's rows are read; where they are copied, the COPY into the target has not ended
    "stage.after-fill",
    "lock.before-rows",
    "lock.after-rows",
    "resolve.before-ledger",
    "resolve.after-ledger",
    "collide.after-ledger",  # a second unique key: noted, nobody has given way
    "count.after-adding",
    "apply.before-table",
    "apply.after-emptying",  # the source was truncated
    "apply.before-look",  # written; whether that meets a rival is not known
    "apply.before-rows",
    "apply.after-rows",  # written, not yet in the target's log
    "apply.after-log",
    "park.before-letters",
    "park.after-letters",
    "save.before-tables",
    "save.before-position",
    "save.after-position",
    "commit.before-durable",
    "commit.after-durable",  # the source's commits were brought to disk
    "commit.before",
    "commit.after",
    "sequence.before-write",
    "sequence.after-write",
    # first copies (table_copy.copy) and whole copies (syncrun.fullcopy)
    "copy.before-begin",
    "copy.after-begin",  # it stands there as begun, with its ranges
    "copy.in-range",  # a range is written, not committed
    "copy.after-range",
    "copy.before-end",  # all ranges are there
    "copy.before-end-commit",
    "copy.after-end",
    "fullcopy.before-emptying",
    "fullcopy.after-emptying",
    "fullcopy.after-rows",
    # masters that meet, or join others (table_copy.join, table_copy.masters)
    "join.before-choice",
    "join.before-way-back",
    "join.after-way-back",  # changes flow back, nothing is copied
    "join.before-opening",
    "join.after-opening",  # what is equal flows on, and where it will go on with the other masters is set
    "join.after-versions",  # shipped, not committed
    "join.after-floor",
    "join.after-copy",
    "join.before-third-link",  # between two masters that have their rows from a third
    "join.after-third-link",
    # columns that are filled in (apply.fill, syncrun.filling)
    "fill.before-rows",  # staged, and what was written here later is left out
    "fill.after-rows",  # written, not yet in the target's log
    "fill.before-note",
    "fill.after-note",
    # the sequences of two masters (sequences.masters)
    "share.before-change",  # nobody takes numbers from either
    "share.between-commits",  # one is changed, the other is not
    "share.after-commits",
    # a slave of a swap that gets another lead (syncrun.handover)
    "handover.before-commit",
    "handover.after-commit",  # it follows the new one, nothing has come from there
    # a master that leaves (topology, topology.cleaning)
    "leave.before-step",  # it has been found to have sent all
    "leave.after-step",  # it is in the sync no more, and has not been asked for the last time
    "leave.before-release",  # it has, and has sent all; nothing may be cleaned up yet
    "leave.after-release",
    "clean.after-ledger",  # another master has its notes, and it has them too
    "clean.after-node",  # a node is clean, the note of it still stands
    # changes that are decoded from the WAL (capture.decoding)
    "decode.before-slot",  # the logs that a lost slot fed are gone, there is no other yet
    "decode.after-slot",
    "decode.before-commit",  # they are in the logs, not committed
    "decode.before-advance",  # they are; the slot would give them again
    "decode.after-advance",
    # the purge
    "purge.after-survey",
    "purge.before-note",  # rows are deleted, how far is not noted
    "purge.before-commit",
    "purge.after-chunk",
    # the catalog's words (controller.desk)
    "kick.before-hand-over",
    "kick.after-hand-over",
    "kick.before-answer",  # the run is stored, the kick not answered
    "kick.after-answer",
    "once.before-done",  # the copy that was ordered once is made, the order still stands
    "once.before-commit",
]
"""Every failpoint. The suite kills a process at each of them, so none of these is never reached."""

NAMES: tuple[Name, ...] = get_args(Name)

POLL = 0.01


@dataclass
class Armed:
    """One failpoint that is to act. Used by all threads of the process."""

    name: str
    hit: int = 1
    action: str = "die"
    seen: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        """A thread is at a failpoint: do what was asked for if it is this one, for the time that was named."""
        if name != self.name:
            return
        with self._lock:
            self.seen += 1
            if self.seen != self.hit:
                return
        self._act()

    def _act(self) -> None:
        if self.action == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action == "lose":
            raise ConnectionLost(f"failpoint {self.name}: the connection is taken for lost.")
        file = self.action.removeprefix("wait=")
        Path(f"{file}.reached").touch()
        while not Path(file).exists():
            time.sleep(POLL)


_armed: Armed | None = None


def failpoint(name: Name) -> None:
    """Nothing, unless this failpoint is armed."""
    if _armed is not None:
        _armed.reach(name)


def arm(environment: Mapping[str, str] | None = None) -> None:
    """Arm what the environment names, or nothing: to be called once, when a process starts. Raises ConfigError."""
    global _armed  # noqa: PLW0603
    text = (os.environ if environment is None else environment).get(VARIABLE, "")
    _armed = parse(text) if text else None


def parse(text: str) -> Armed:
    """Read NAME[:HIT][:ACTION]. Raises ConfigError saying what is wrong with it."""
    name, *rest = text.split(":", 2)
    if name not in NAMES:
        raise ConfigError(f"{VARIABLE}: there is no failpoint {name!r}.", hint="replicator/failpoint.py has all names.")
    hit = 1
    if rest and rest[0].isdecimal():
        hit = int(rest.pop(0))
    action = ":".join(rest) or "die"
    if hit < 1 or not (action in ("die", "lose") or action.removeprefix("wait=") not in ("", action)):
        raise ConfigError(f"{VARIABLE}: {text!r} is not NAME[:HIT][:ACTION] with the action die, lose or wait=FILE.")
    return Armed(name, hit, action)

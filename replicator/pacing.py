"""When a link looks for work, runs, rests or tries again: decisions only, on a clock that it is told.

`worker` asks `Pace.next` what to do, does it, and tells how it went. Nothing here waits, connects or logs.
Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from replicator.errors import ConnectionLost, LockedOut, Policy, ReplicatorError, Transient
from replicator.habits import Rhythm
from replicator.model import Sync, SyncType

SOON = 0.02
"""How long until the next look after activity; when nothing has happened for a while, `Rhythm.late`."""

GROWTH = 1.5
LEAST_REST = 0.25
"""A whole copy is followed by a rest as long as it took, and never by a shorter one than this."""

LOOK_AGAIN = 10.0
"""How often to see whether a person has mended what is wrong."""

FOREVER = 3600.0


class Step(Enum):
    """What a link does next."""

    PREPARE = auto()
    LOOK = auto()
    RUN = auto()
    REST = auto()


@dataclass(frozen=True)
class Decision:
    """seconds: how long to rest; a kick ends a rest early."""

    step: Step
    seconds: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What an error means for the link. state: 'retrying' or 'waiting'; seconds: until the next attempt."""

    state: str
    seconds: float


class Pace:
    """The pace of one link. It starts unprepared and due."""

    def __init__(
        self, sync: Sync, now: float, jitter: Callable[[], float] = random.random, rhythm: Rhythm | None = None
    ) -> None:
        self.rhythm = rhythm or Rhythm()
        self._autokick = sync.autokick
        self._checktime = _seconds(sync.checktime)
        self._rests = sync.type is SyncType.FULLCOPY
        self._jitter = jitter
        self._prepared = False
        self._found = False
        self._attempts = 0
        self._interval = SOON
        self._due = self._look_at = self._retry_at = now
        self._kicked = self._serving = self._served = 0

    def next(self, now: float) -> Decision:
        """What to do at this moment."""
        if not self._prepared:
            return self._when(self._retry_at, Step.PREPARE, now)
        if self._kicked > self._served or (self._checktime and now >= self._due):
            return Decision(Step.RUN)
        times = [(now + FOREVER, Step.REST)]
        if self._checktime:
            times.append((self._due, Step.RUN))
        if self._autokick:
            times.append((self._look_at, Step.RUN if self._found else Step.LOOK))
        return self._when(*min(times, key=lambda pair: pair[0]), now)

    @staticmethod
    def _when(moment: float, step: Step, now: float) -> Decision:
        return Decision(step) if now >= moment else Decision(Step.REST, moment - now)

    def kick(self, kick_id: int, now: float) -> None:
        """Somebody asks for a run: one that begins from now on."""
        self._kicked = max(self._kicked, kick_id)
        self._retry_at = min(self._retry_at, now)

    def nudge(self, now: float) -> None:
        """Something was changed that may mend an error: try at once."""
        self._retry_at = min(self._retry_at, now)

    def prepared(self, now: float) -> None:
        """`prepare` has succeeded."""
        self._prepared = True
        self._look_at = now

    def looked(self, found: bool, now: float, rest: float = 0.0) -> None:
        """`pending` has answered. rest: how long the link may, for the first change will ring; 0: it will not."""
        self._found = found
        if not found:
            self._attempts = 0
            self._slow_down(now)
            if rest:
                self._look_at = now + rest

    def rang(self, now: float) -> None:
        """The bell rang: something was logged, so run at once."""
        self._look_at, self._found = min(self._look_at, now), True

    def began(self, now: float) -> bool:
        """A run begins: it serves the kicks made so far. True when it was asked for (a kick, or checktime)."""
        asked = self._kicked > self._served or bool(self._checktime and now >= self._due)
        self._serving = self._kicked
        self._due = now + self._checktime
        return asked

    def ran(self, empty: bool, seconds: float, now: float) -> int:
        """A run that took that long has succeeded. The latest kick that it has served, 0 for none."""
        self._found = False
        self._attempts = 0
        if empty:
            self._slow_down(now)
        else:
            self._interval = SOON
            self._look_at = now + (max(seconds, LEAST_REST) if self._rests else SOON)
        return self._finish_kick()

    def failed(self, error: ReplicatorError, now: float) -> tuple[Verdict, int]:
        """Something failed. What follows, and the latest kick that has failed with it, 0 for none."""
        verdict = self._judge(error)
        self._prepared = self._found = False
        self._due = self._retry_at = now + verdict.seconds
        if isinstance(error, LockedOut | Transient | ConnectionLost):
            return verdict, 0  # the next attempt is soon and likely to succeed: whoever waits for the kick waits on
        self._serving = self._kicked
        return verdict, self._finish_kick()

    def _judge(self, error: ReplicatorError) -> Verdict:
        first, self._attempts = self._attempts == 0, self._attempts + 1
        if error.policy is not Policy.RETRY:
            # What fails in a run is often better told by preparing anew, which compares both sides.
            return Verdict("waiting", self.rhythm.first_retry if first and self._prepared else LOOK_AGAIN)
        rhythm = self.rhythm  # locks and serialization have a limit of their own: the server is up
        last = rhythm.last_contended if isinstance(error, LockedOut | Transient) else rhythm.last_retry
        delay = min(last, rhythm.first_retry * 2 ** min(self._attempts - 1, 10))
        return Verdict("retrying", delay * (0.5 + 0.5 * self._jitter()))

    def _slow_down(self, now: float) -> None:
        self._look_at = now + self._interval
        self._interval = min(self.rhythm.late, self._interval * GROWTH)

    def _finish_kick(self) -> int:
        if self._serving <= self._served:
            return 0
        self._served = self._serving
        return self._served


def _seconds(interval: timedelta | None) -> float:
    return interval.total_seconds() if interval else 0.0

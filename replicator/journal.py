"""What a link has to tell the catalog: how it stands, what it has done, which kicks it has answered.

The link's thread writes, the controller's catalog thread takes. While the catalog is away the runs are summed up, so
however long that lasts, nothing is lost of the numbers and memory stays flat. Storing it is left to the taker.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from replicator.change import RunResult
from replicator.signals import Alarm

KICKS_KEPT = 100
TABLES_KEPT = 1000


@dataclass(frozen=True)
class Standing:
    """How a link stands. state: a word of the catalog's; since: when that state began."""

    state: str
    since: datetime
    detail: str = ""


@dataclass(frozen=True)
class Good:
    """Successful runs, summed up."""

    result: RunResult
    started: datetime
    finished: datetime

    def __add__(self, later: Good) -> Good:
        copied = tuple(dict.fromkeys((*self.result.copied, *later.result.copied)))[:TABLES_KEPT]
        seconds = self.result.seconds + later.result.seconds
        total = RunResult(counts=self.result.counts + later.result.counts, seconds=seconds, copied=copied)
        return Good(total, self.started, later.finished)


@dataclass(frozen=True)
class Bad:
    """A failure: the sentence, and when the attempt began and ended."""

    error: str
    started: datetime
    finished: datetime


@dataclass(frozen=True)
class Answer:
    """Kicks up to this one were served; error: why the run failed, None when it did not."""

    kick: int
    error: str | None = None


@dataclass(frozen=True)
class News:
    """What happened since the last time that somebody took it."""

    good: Good | None = None
    bad: Bad | None = None
    answers: tuple[Answer, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.good or self.bad or self.answers)

    def __add__(self, later: News) -> News:
        return News(
            good=self.good + later.good if self.good and later.good else self.good or later.good,
            bad=later.bad or self.bad,
            answers=(*self.answers, *later.answers)[-KICKS_KEPT:],
        )


class Journal:
    """The journal of one link. Any thread may call any method. alarm: set when there is something new."""

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._lock = threading.Lock()
        self._standing = Standing("starting", now())
        self._news = News()

    def stand(self, state: str, detail: str = "", *, soon: bool = True) -> None:
        """The link is in this state from now on. soon: whoever reads the journal is to look at once."""
        with self._lock:
            old = self._standing
            since = old.since if old.state == state else now()
            self._standing = Standing(state, since, detail)
        if soon:
            self._alarm.set()

    def detail(self, text: str) -> None:
        """What is being done just now, the state being what it is."""
        with self._lock:
            self._standing = replace(self._standing, detail=text)
        self._alarm.set()

    @property
    def standing(self) -> Standing:
        """How the link stands."""
        with self._lock:
            return self._standing

    def add(self, news: News) -> None:
        """Something happened."""
        with self._lock:
            self._news = self._news + news
        self._alarm.set()

    def put_back(self, news: News) -> None:
        """What was taken could not be stored."""
        with self._lock:
            self._news = news + self._news

    def take(self) -> News:
        """What happened since the last take."""
        with self._lock:
            news, self._news = self._news, News()
            return news


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)

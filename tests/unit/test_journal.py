"""What a link tells the catalog, while the catalog takes it and while it does not."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from replicator.change import Counts, RunResult
from replicator.journal import KICKS_KEPT, Answer, Bad, Good, Journal, News, now
from replicator.signals import Alarm


def good(inserted: int, *copied: str, seconds: float = 1.0) -> News:
    end = now()
    result = RunResult(counts=Counts(inserted=inserted), seconds=seconds, copied=copied)
    return News(good=Good(result, end - timedelta(seconds=seconds), end))


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    made = Alarm()
    yield made
    made.close()


@pytest.fixture
def journal(alarm: Alarm) -> Journal:
    return Journal(alarm)


def test_nothing_is_false() -> None:
    assert not News()
    assert good(0)


def test_taking_empties_it(journal: Journal) -> None:
    journal.add(good(1))
    assert journal.take().good
    assert not journal.take()


def test_runs_are_summed_up_until_they_are_taken(journal: Journal) -> None:
    first, last = good(3, "a", "b", seconds=10), good(4, "b")
    journal.add(first)
    journal.add(last)
    total = journal.take().good
    assert total and first.good and last.good
    assert total.result.counts.inserted == 7
    assert total.result.copied == ("a", "b")
    assert (total.started, total.finished) == (first.good.started, last.good.finished)


def test_what_could_not_be_stored_comes_before_what_happened_since(journal: Journal) -> None:
    journal.add(News(bad=Bad("old", now(), now()), answers=(Answer(1),)))
    taken = journal.take()
    journal.add(News(bad=Bad("new", now(), now()), answers=(Answer(2),)))
    journal.put_back(taken)
    news = journal.take()
    assert news.bad and news.bad.error == "new"
    assert [answer.kick for answer in news.answers] == [1, 2]


def test_a_long_outage_of_the_catalog_takes_no_more_memory_than_a_short_one(journal: Journal) -> None:
    for number in range(5000):
        journal.add(good(1, f"table{number % 7}"))
        journal.add(News(answers=(Answer(number),)))
    news = journal.take()
    assert news.good and news.good.result.counts.inserted == 5000
    assert len(news.answers) == KICKS_KEPT
    assert news.answers[-1].kick == 4999
    assert sys.getsizeof(news.good.result.copied) < 1000


def test_a_state_keeps_its_beginning_while_it_lasts(journal: Journal) -> None:
    journal.stand("retrying", "one")
    since = journal.standing.since
    journal.stand("retrying", "two")
    journal.detail("three")
    assert (journal.standing.since, journal.standing.detail) == (since, "three")
    journal.stand("idle")
    assert (journal.standing.state, journal.standing.detail) == ("idle", "")
    assert journal.standing.since >= since


def test_whatever_is_new_wakes_who_takes_it(journal: Journal, alarm: Alarm) -> None:
    for happens in (lambda: journal.stand("idle"), lambda: journal.detail("x"), lambda: journal.add(good(1))):
        happens()
        began = time.monotonic()
        alarm.wait(30)
        assert time.monotonic() - began < 15

"""When a database that was added is filled, and when in step; when a person must act."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from replicator.catalog import LinkState, State
from replicator.model import Database, Herd, Install, Link, Sync, SyncType, TableName, Topology
from replicator.status.arrival import Arrival, judge, links_of
from replicator.status.lag import Lag, key

T, U = TableName("public", "t"), TableName("public", "u")
TOPOLOGY = Topology(
    databases={name: Database(name=name, dbname=name) for name in "abc"},
    herds={"h": Herd(name="h", database="a", tables=(T, U))},
    syncs={"s": Sync(name="s", type=SyncType.SWAP, herd="h", targets=("b", "c"))},
)
LINKS = links_of(TOPOLOGY, Install(), [TOPOLOGY.syncs["s"]], TOPOLOGY.databases["c"])
HERE = Lag(rows=0, seconds=0.0, tables=2)


def heard(link: Link, state: State, detail: str = "") -> LinkState:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    sync, source, target = key(link)
    return LinkState(sync=sync, source=source, target=target, state=state, detail=detail, pid=1, since=now)


def judged(
    states: dict[str, State | None] | None = None, lags: dict[str, Lag] | None = None, since: float | None = None
) -> Arrival:
    """All is well but for what is given, by `source>target`."""
    said, measured = {}, {}
    for link in LINKS:
        ends = f"{link.source.name}>{link.target.name}"
        state = (states or {}).get(ends, State.IDLE)
        if state:
            said[key(link)] = heard(link, state, f"{ends} says so")
        measured[key(link)] = (lags or {}).get(ends, HERE)
    return judge(LINKS, said, measured, since)


def test_all_its_links_count_and_the_one_that_fills_it_comes_first() -> None:
    ends = [f"{link.source.name}>{link.target.name}" for link in LINKS]
    assert ends[0] == "a>c"
    assert sorted(ends) == ["a>c", "b>c", "c>a", "c>b"]
    assert judged().in_step


def test_it_is_filled_when_every_link_has_every_table() -> None:
    for ends in ("a>c", "c>b"):
        assert not judged(states={ends: None}).filled
        assert not judged(states={ends: State.COPYING}).filled
        assert not judged(lags={ends: replace(HERE, tables=1)}).filled
    assert judged(states={"a>c": State.COPYING}).text == "s: a -> c: a>c says so"


def test_under_load_it_is_in_step_once_it_has_what_was_there_when_it_was_filled() -> None:
    busy = {"b>c": replace(HERE, rows=7, seconds=3.0)}
    assert judged(lags=busy).filled
    assert not judged(lags=busy).in_step
    assert not judged(lags=busy, since=2.0).in_step
    assert judged(lags=busy, since=4.0).in_step


def test_a_third_that_does_not_answer_is_named_and_not_waited_for() -> None:
    away = judged(states={"b>c": State.RETRYING}, lags={"b>c": Lag(problem="no")})
    assert away.in_step
    assert away.absent == ("s: b -> c: b>c says so",)
    assert not judged(states={"a>c": State.RETRYING}).filled


def test_what_waits_for_a_person_is_stuck() -> None:
    assert judged(states={"a>c": State.WAITING}).stuck == "s: a -> c: a>c says so"

"""States derived from who lives and what was said, and their form for people."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from replicator.catalog import LinkState, LinkTotal, RunRecord, State
from replicator.change import Counts
from replicator.cli import status_page as shown
from replicator.cli.kick import spell_out
from replicator.model import Database, Install, Link, Sync, SyncType, TableName
from replicator.status import STATES, Alive, LinkStatus, Overview, SyncStatus, derive, rate
from replicator.status.lag import Lag

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WELL = Alive(daemon=True, connected=True, controller=True)


def link(target: str = "b", *, active: bool = True, **fields: Any) -> Link:
    sync = Sync(name="s", type=SyncType.PUSHDELTA, herd="h", targets=("b", "c"), **fields)
    a, b = Database(name="a", dbname="a"), Database(name=target, dbname="b", active=active)
    return Link(install=Install(), sync=sync, source=a, target=b, lead="a", tables=(TableName("public", "t"),))


def heard(state: State = State.IDLE, detail: str = "") -> LinkState:
    return LinkState(sync="s", source="a", target="b", state=state, detail=detail, pid=7, since=NOW)


@pytest.mark.parametrize(
    ("made", "said", "alive", "state"),
    [
        (link(), heard(), WELL, "idle"),
        (link(), heard(State.RETRYING), WELL, "retrying"),
        (link(), heard(), replace(WELL, silence=timedelta(seconds=4)), "idle"),
        (link(), heard(), replace(WELL, silence=timedelta(seconds=6)), "not responding"),
        (link(), None, WELL, "starting"),
        (link(), heard(State.STOPPED), WELL, "starting"),
        (link(), heard(), Alive(daemon=True, connected=True, controller=False), "starting"),
        (link(), heard(), Alive(daemon=True, connected=False, controller=False), "starting"),
        (link(), heard(), Alive(daemon=False, connected=False, controller=False), "stopped"),
        (link(), heard(), Alive(daemon=False, connected=False, controller=True), "stopped"),
        (link(paused=True), heard(), WELL, "paused"),
        (link(paused=True), heard(), Alive(daemon=False, connected=False, controller=False), "paused"),
        (link(active=False), heard(), WELL, "inactive"),
    ],
)
def test_a_state_is_what_is_true_not_what_was_said_last(
    made: Link, said: LinkState | None, alive: Alive, state: str
) -> None:
    found = derive(made, said, alive)
    assert found.state == state
    assert found.state in STATES
    assert found.state in shown.STYLES


def run(rows: int, begun: float, ended: float) -> RunRecord:
    return RunRecord(
        id=1,
        sync="s",
        source="a",
        target="b",
        started_at=NOW - timedelta(seconds=begun),
        finished_at=NOW - timedelta(seconds=ended),
        counts=Counts(updated=rows),
    )


def test_the_rate_is_that_of_the_time_in_which_rows_moved() -> None:
    assert rate([], NOW) == 0
    assert rate([run(500, 10, 0)], NOW) == 50
    assert rate([run(0, 1, 0), run(500, 20, 15), run(500, 25, 20)], NOW) == 100
    assert rate([run(500, 0.001, 0)], NOW) == 500, "one quick run does not stand for thousands"
    assert rate([run(500, 90, 61)], NOW) == 0


def overview(*links: LinkStatus, running: bool = True) -> Overview:
    syncs = (SyncStatus(sync=links[0].link.sync, source="a", links=links),) if links else ()
    return Overview(install=Install(), at=NOW, running=running, pid=42 if running else None, syncs=syncs)


BAD = LinkStatus(
    link=link("c"),
    state="retrying",
    detail="c does not answer.",
    since=NOW - timedelta(seconds=90),
    lag=Lag(problem="c does not answer."),
    total=LinkTotal(
        sync="s",
        source="a",
        target="c",
        runs=1,
        failures=2,
        counts=Counts(inserted=1, updated=2, deleted=3, conflicts=4),
        last_good_at=NOW - timedelta(hours=2),
        last_bad_at=NOW,
        last_error="c does not answer.",
    ),
)
GOOD = LinkStatus(
    link=link(),
    state="idle",
    since=NOW,
    lag=Lag(rows=1_000_000, more=True, seconds=75.0, parked=2),
    last_run=run(5, 1, 0),
    rate=12.34,
)


def text(found: Overview, *, detailed: bool = False) -> str:
    console = Console(file=io.StringIO(), width=200, no_color=True)
    console.print(shown.page(found, detailed=detailed))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_sync_is_as_well_as_its_worst_link() -> None:
    assert overview(GOOD, BAD).syncs[0].state == "retrying"
    assert overview(GOOD).syncs[0].state == "idle"


def test_the_table_has_a_line_a_link_and_the_remarks_say_why() -> None:
    page = text(overview(GOOD, BAD))
    assert "the daemon is running (pid 42)" in page
    (good,) = (line for line in page.splitlines() if "a -> b " in line)
    assert " ".join(good.split()) == "s pushdelta a -> b idle 1m15s >1000000 - 0/5/0 12 2 -"
    assert "s: a -> c: retrying for 1m30s: c does not answer." in page
    assert "s: a -> b: 2 keys are set aside, because b refused" in page
    assert "not running: `replicator start`" in text(overview(GOOD, running=False))


def test_a_narrow_terminal_keeps_the_state_and_the_lag() -> None:
    written = io.StringIO()
    long = Sync(name="a_sync_of_a_long_name", type=SyncType.PUSHDELTA, herd="h", targets=("c",))
    bad = replace(BAD, link=replace(BAD.link, sync=long))
    Console(file=written, width=80, no_color=True).print(shown.table(overview(bad)))
    for word in ("retrying", "State", "Lag", "Rows", "Last good", "2h00m"):
        assert word in written.getvalue()


def test_details_hold_everything() -> None:
    page = text(overview(GOOD, BAD), detailed=True)
    for part in ("h on a", "b, c", "1m15s, >1000000 changes", "1/2/3 inserted/updated/deleted", "(2h00m ago)"):
        assert part in page


def test_the_machine_readable_form_is_complete_and_json() -> None:
    found = json.loads(json.dumps(overview(GOOD, BAD).json))
    (sync,) = found["syncs"]
    good, bad = sync["links"]
    assert set(good) == set(bad)
    assert good["lag"] == {"rows": 1_000_000, "more": True, "seconds": 75.0, "problem": ""}
    assert bad["lag"]["rows"] is None and bad["parked"] is None
    assert bad["total"]["conflicts"] == 4 and bad["last_run"] is None
    assert good["last_run"]["updated"] == 5 and good["rate"] == 12.3
    assert (sync["targets"], sync["state"]) == (["b", "c"], "retrying")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0s"), (0, "0s"), (0.25, "0.2s"), (12.6, "13s"), (75, "1m15s"), (7322, "2h02m"), (200_000, "2d07h")],
)
def test_lengths_of_time(seconds: float, said: str) -> None:
    assert shown.length(timedelta(seconds=seconds)) == said


def test_what_is_at_ease_is_not_remarked_on() -> None:
    assert list(shown.remarks(overview(replace(GOOD, lag=Lag(rows=0, seconds=0.0, parked=0))))) == []


@pytest.mark.parametrize(
    ("typed", "spelt"),
    [
        (["a", "--wait"], ["a", "--wait", "inf"]),
        (["--wait", "a"], ["--wait", "inf", "a"]),
        (["a", "--wait", "3"], ["a", "--wait", "3"]),
        (["a", "--wait", ".5", "b"], ["a", "--wait", ".5", "b"]),
        (["a", "--wait=3"], ["a", "--wait=3"]),
        (["a", "b"], ["a", "b"]),
        ([], []),
    ],
)
def test_wait_may_stand_without_a_time(typed: list[str], spelt: list[str]) -> None:
    assert spell_out(typed) == spelt

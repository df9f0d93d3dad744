"""What people and programs are shown of a run, from its events alone."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from provision.apply.events import (
    Event,
    Looking,
    Outcome,
    PlaceEnded,
    Planned,
    Proved,
    StepBegan,
    StepEnded,
    StepSaid,
    TaskResult,
    Tick,
)
from provision.change import Change
from provision.plan import Obstacle, Plan, Step
from provision.render import JsonLines, Lines, Page, Report, View
from provision.render.report import show_plan
from provision.tasks.replication.proof import Copy, Proof, TableProof

SECRET = "the-password"


def page(colour: bool = False) -> Page:
    return Page(lambda text: text.replace(SECRET, "***"), io.StringIO(), colour)


def written(page: Page) -> str:
    assert isinstance(page.out, io.StringIO)
    return page.out.getvalue()


def play(view: View, events: list[Event], order: tuple[str, ...] = ("master", "slave")) -> Report:
    report = Report(order=order)
    for event in events:
        report.take(event)
        view.show(event)
    view.close(report)
    return report


def change(summary: str, **more: Any) -> Step:
    return Step("roles", "role x", Change(summary=summary, **more))


GOOD: list[Event] = [
    Looking("slave"),
    Planned(Plan(place="slave", steps=(change("create role x", after=SECRET),))),
    StepBegan("slave", "roles", "create role x", 1, 1),
    StepSaid("slave", f"it says {SECRET}"),
    Tick(),
    StepEnded("slave", "roles", "create role x", 0.25, ("--- found", "+++ declared", f"+{SECRET}")),
    PlaceEnded("slave", (TaskResult("slave", "roles", Outcome.CHANGED, 1, 0.25),), 0, True, 1.0),
    PlaceEnded("master", (TaskResult("master", "roles", Outcome.OK),), 0, True, 1.0),
]
SKIPPED = TaskResult("replication", "replication", Outcome.SKIPPED, message="it needs slave")
BAD: list[Event] = [
    PlaceEnded(
        "slave",
        (
            TaskResult("slave", "roles", Outcome.FAILED, message=f"no role; {SECRET}"),
            TaskResult("slave", "databases", Outcome.SKIPPED),
        ),
        1,
    ),
    PlaceEnded(
        "replication", (TaskResult("replication", "replication", Outcome.SKIPPED, message="it needs slave"),), 0
    ),
]
PROOF = Proof(
    ("a",),
    5,
    (
        TableProof("s", "public.t", (Copy("a", 10, "c0ffee"), Copy("b", 10, "c0ffee"))),
        TableProof("s", "public.u", (Copy("a", 10, "c0ffee"), Copy("b", None, "")), "different", "1 rows"),
    ),
)


def test_lines_of_a_good_run() -> None:
    out = page()
    report = play(Lines(out, diff=True), GOOD)
    assert written(out) == (
        "slave: roles: create role x (0.2 s)\n"
        "      +***\n"
        "\n"
        "  host    task   result   changes  seconds\n"
        "  master  roles  ok\n"
        "  slave   roles  changed        1      0.2\n"
        "\n"
        "Everything is as declared: 1 change made, and a second look found nothing left to do.\n"
    )
    assert (report.code, report.changes) == (0, 1)


def test_lines_of_a_bad_run_end_in_a_sentence_for_each_failure() -> None:
    out = page()
    report = play(Lines(out, diff=False), BAD)
    shown = written(out).splitlines()
    assert "slave: roles: no role; ***" in shown
    assert shown[-1] == "Not as declared: slave failed. Mend that and run it again; what is done stays done."
    assert any(line.split() == ["replication", "skipped", "it", "needs", "slave"] for line in shown)
    assert report.code == 1


def test_a_slow_step_is_shown_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("provision.render.lines.time.monotonic", lambda: now[0])
    out = page()
    lines = Lines(out, diff=False)
    lines.show(StepBegan("slave", "databases", "fill tables", 1, 1))
    for seconds in (1.0, 1.5, 5.0, 8.0):
        now[0] += seconds
        lines.show(StepSaid("slave", f"{now[0] - 100:.0f} percent"))
    assert written(out) == (
        "slave: databases: fill tables ... 2 s, 2 percent\nslave: databases: fill tables ... 16 s, 16 percent\n"
    )


def test_interrupted_runs_say_that_they_can_go_on() -> None:
    out = page()
    play(Lines(out, diff=False), [PlaceEnded("slave", (TaskResult("slave", "roles", Outcome.SKIPPED),), 130)])
    assert written(out).endswith("Interrupted; what was begun has ended. Run it again to go on from there.\n")


def test_the_proof_has_a_row_for_every_table_and_database() -> None:
    out = page()
    play(Lines(out, diff=False), [Proved(PROOF)])
    assert "Proof: 5 pgbench transactions on a, then:" in written(out)
    rows = [line.split() for line in written(out).splitlines() if line.startswith("  ")]
    assert rows[1:] == [
        ["s", "public.t", "a", "10", "c0ffee", "equal"],
        ["b", "10", "c0ffee"],
        ["s", "public.u", "a", "10", "c0ffee", "different,", "1", "rows"],
        ["b", "no", "table"],
    ]


def test_json_is_one_object_a_line_and_ends_with_the_report() -> None:
    out = page()
    play(JsonLines(out), [*GOOD, Proved(PROOF)])
    lines = [json.loads(line) for line in written(out).splitlines()]
    assert all(line["schema"] == 1 for line in lines)
    assert [line["event"] for line in lines] == [
        *(
            "looking",
            "planned",
            "step_began",
            "step_said",
            "step_ended",
            "place_ended",
            "place_ended",
            "proved",
            "report",
        )
    ]
    assert lines[-1]["code"] == 0 and lines[-1]["changes"] == 1
    assert lines[-2]["equal"] is False
    assert [table["verdict"] for table in lines[-2]["tables"]] == ["equal", "different"]
    assert SECRET not in written(out)


def test_plans_say_what_is_certain_and_what_is_not() -> None:
    out = page()
    plan = Plan(
        place="slave",
        steps=(change("replace a.conf", before="old", after="new", follows="reload"),),
        waiting=(Obstacle("databases", "database y", "the server is stopped"),),
    )
    show_plan(out, Planned(plan), diff=True)
    show_plan(out, Planned(Plan(place="master")), diff=True)
    show_plan(out, Planned(plan, bare="it is gone."), diff=False)
    assert written(out) == (
        "slave: 1 change\n"
        "  roles: replace a.conf\n"
        "      -old\n"
        "      +new\n"
        "      then: reload\n"
        "  databases: database y: not known yet, the server is stopped\n"
        "master: as declared\n"
        "slave: 1 change\n"
        "  it does not answer, so this is what a bare host would take: it is gone.\n"
        "  roles: replace a.conf\n"
        "      then: reload\n"
        "  databases: database y: not known yet, the server is stopped\n"
    )


def test_colour_only_where_there_is_a_terminal() -> None:
    plain, coloured = page(), page(colour=True)
    for out in (plain, coloured):
        out.line("text", "failed")
        out.table([["a", "1"], ["bb", "22"]])
    assert "\x1b" not in written(plain)
    assert written(coloured).startswith("\x1b[31;1mtext\x1b[0m\n")
    assert written(plain) == "text\n  a    1\n  bb  22\n"

"""`provision check`."""

from __future__ import annotations

import typer

from provision.apply import Run, survey
from provision.cli.asking import Asking
from provision.cli.common import (
    FORKS,
    AskBecomePass,
    AskPass,
    Command,
    Diff,
    Forks,
    InventoryFile,
    Json,
    Limit,
    StartAt,
    Tags,
)
from provision.errors import Differs
from provision.render import JsonLines, Report
from provision.render.report import counted, show_plan


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def check(
        inventory: InventoryFile,
        limit: Limit = "",
        tags: Tags = "",
        start_at: StartAt = "",
        diff: Diff = False,
        json: Json = False,
        forks: Forks = FORKS,
        ask_pass: AskPass = False,
        ask_become_pass: AskBecomePass = False,
    ) -> int:
        """Show what differs from the inventory; touch nothing. Exit code 3 if anything does."""
        asking = Asking(ask_pass, ask_become_pass)
        command = Command.begin(inventory, limit, json=json, diff=diff, forks=forks, asking=asking)
        return examine(command, command.run(tags, start_at=start_at), assume_bare=False, code=Differs.exit_code)


def examine(command: Command, run: Run, *, assume_bare: bool, code: int) -> int:
    """Show a plan. code: what to end with when it is not empty."""
    shown = JsonLines(command.page) if command.json else None
    for event in survey(run, assume_bare=assume_bare):
        command.report.take(event)
        if shown:
            shown.show(event)
    report = command.report
    ending = report.code or (code if report.differs else 0)
    conclusion = "" if report.code else _conclusion(report)
    if shown:
        shown.conclude(report, ending, conclusion)
    else:
        _show(command, conclusion)
    return ending


def _conclusion(report: Report) -> str:
    if not report.differs:
        return "Everything is as declared."
    return f"{counted(report.steps)} would be made." if report.steps else "Something differs."


def _show(command: Command, conclusion: str) -> None:
    report, page = command.report, command.page
    for planned in report.plans:
        show_plan(page, planned, diff=command.diff)
    for failure in report.failures:
        page.line(f"{failure.place}: {failure.task}: {failure.message}", "failed")
    if conclusion:
        page.line(conclusion, "changed" if report.differs else "ok")

"""`provision doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer

from provision.cli.asking import Asking
from provision.cli.common import FORKS, AskBecomePass, AskPass, Command, Forks, InventoryFile, Json, Limit
from provision.doctor import Finding, Verdict, examine, exit_code
from provision.render.page import Cell

STYLES = {Verdict.OK: "ok", Verdict.NOTE: "changed", Verdict.BAD: "failed", Verdict.AWAY: "failed"}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def doctor(
        inventory: InventoryFile,
        limit: Limit = "",
        json: Json = False,
        forks: Forks = FORKS,
        ask_pass: AskPass = False,
        ask_become_pass: AskBecomePass = False,
    ) -> int:
        """Look for what would stop a deploy, on all hosts at once and on this machine; touch nothing.

        Exit code 1 if something would, 4 if a host cannot be reached or entered.
        """
        command = Command.begin(inventory, limit, json=json, forks=forks, asking=Asking(ask_pass, ask_become_pass))
        found = examine(command.site, command.hosts, forks)
        if json:
            for finding in found:
                command.json_line({**asdict(finding), "verdict": str(finding.verdict)})
        else:
            _show(command, found)
        return exit_code(found)


def _show(command: Command, found: Sequence[Finding]) -> None:
    place = ""
    for finding in found:
        if finding.place != place:
            command.page.line(finding.place, "bold")
            place = finding.place
        said = finding.said.rstrip(".")
        command.page.table([[Cell(f"{finding.verdict:<4}", STYLES[finding.verdict]), f"{finding.check:<10}", said]])
        if finding.hint and finding.verdict is not Verdict.OK:
            command.page.line(f"        {finding.hint}", "dim")
    command.page.line()
    wrong = [finding for finding in found if finding.verdict in (Verdict.BAD, Verdict.AWAY)]
    if not wrong:
        command.page.line("Nothing stands in the way of a deploy.", "ok")
        return
    places = ", ".join(dict.fromkeys(finding.place for finding in wrong))
    what = "1 thing stands" if len(wrong) == 1 else f"{len(wrong)} things stand"
    command.page.line(f"{what} in the way of a deploy: {places}.", "failed")

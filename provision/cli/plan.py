"""`provision plan`."""

from __future__ import annotations

import typer

from provision.cli.asking import Asking
from provision.cli.check import examine
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


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def plan(
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
        """Show what deploy would do; touch nothing. A host that does not answer is taken for a bare one."""
        asking = Asking(ask_pass, ask_become_pass)
        command = Command.begin(inventory, limit, json=json, diff=diff, forks=forks, asking=asking)
        return examine(command, command.run(tags, start_at=start_at), assume_bare=True, code=0)

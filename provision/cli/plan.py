"""`provision plan`."""

from __future__ import annotations

import typer

from provision.cli.check import examine
from provision.cli.common import Command, Diff, InventoryFile, Json, Limit, Tags


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def plan(
        inventory: InventoryFile, limit: Limit = "", tags: Tags = "", diff: Diff = False, json: Json = False
    ) -> int:
        """Show what deploy would do; touch nothing. A host that does not answer is taken for a bare one."""
        return examine(Command.begin(inventory, limit, json=json, diff=diff), tags, assume_bare=True, code=0)

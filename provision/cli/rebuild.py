"""`provision rebuild`."""

from __future__ import annotations

from typing import Annotated

import typer

from provision.apply.rebuilding import rebuild as rebuilding
from provision.cli.common import Command, Diff, InventoryFile, Json, Limit, Yes, confirm
from provision.cli.deploy import converge
from provision.errors import InputError

Force = Annotated[bool, typer.Option("--force", help="Give up rows that are nowhere else.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def rebuild(
        inventory: InventoryFile,
        limit: Limit = "",
        yes: Yes = False,
        force: Force = False,
        diff: Diff = False,
        json: Json = False,
    ) -> int:
        """Wipe hosts and bring them back, data included, from the others. --limit says which.

        A host is only wiped if all that it holds is elsewhere: the syncs copy it back.
        """
        if not limit:
            raise InputError("--limit is missing: say which hosts to rebuild (for all of them: destroy, then deploy)")
        command = Command.begin(inventory, limit, json=json, diff=diff)
        work = rebuilding(command.site.deploying(), command.hosts, command.stop, force=force)
        names = ", ".join(host.name for host in command.hosts)
        if not yes:
            confirm(f"This wipes the servers of {names}; what they hold is copied back from the others.", names)
        shown = command.view()
        command.watch(work, shown)
        if command.report.code:
            shown.close(command.report)
            return command.report.code
        return converge(command, proof=True, shown=shown)

"""`provision destroy`."""

from __future__ import annotations

import typer

from provision.apply.removal import Removal
from provision.cli.common import Command, InventoryFile, Json, Limit, Yes, confirm


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def destroy(inventory: InventoryFile, limit: Limit = "", yes: Yes = False, json: Json = False) -> int:
        """Stop and remove everything that deploy has made on this machine: servers, data, passwords, settings."""
        command = Command.begin(inventory, limit, json=json)
        removal = Removal(command.site, command.hosts, command.stop)
        removal.check()
        if not yes:
            names = ", ".join(host.name for host in command.hosts)
            folder = command.site.inventory.state_dir
            confirm(f"This removes {names} with all data, below {folder}.", command.site.inventory.name)
        command.report.unchanged = "There was nothing to remove."
        command.report.changed = "It is gone: {0} made, and a second look found nothing left."
        shown = command.view()
        try:
            command.watch(removal.remove(), shown)
        finally:
            shown.close(command.report)
        return command.report.code

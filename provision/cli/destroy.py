"""`provision destroy`."""

from __future__ import annotations

from typing import Annotated

import typer

from provision.apply.removal import Removal
from provision.cli.asking import Asking
from provision.cli.common import AskBecomePass, AskPass, Command, InventoryFile, Json, Limit, Yes, confirm

Packages = Annotated[bool, typer.Option("--packages", help="The servers' packages too, of machines of their own.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def destroy(
        inventory: InventoryFile,
        limit: Limit = "",
        packages: Packages = False,
        yes: Yes = False,
        json: Json = False,
        ask_pass: AskPass = False,
        ask_become_pass: AskBecomePass = False,
    ) -> int:
        """Stop and remove the servers that deploy has made, with all data, and the replicator.

        Of machines of their own the rest stays as it is: packages, repositories, names, time, monitoring, firewall.
        """
        command = Command.begin(inventory, limit, json=json, asking=Asking(ask_pass, ask_become_pass))
        removal = Removal(command.site, command.hosts, command.stop, packages)
        if not yes:
            confirm(_question(command), command.site.inventory.name)
        command.report.unchanged = "There was nothing to remove."
        command.report.changed = "It is gone: {0} made, and a second look found nothing left."
        shown = command.view()
        try:
            command.watch(removal.remove(), shown)
        finally:
            shown.close(command.report)
        if not json and not command.report.code and (others := [host.name for host in command.hosts if not host.local]):
            kept = "" if packages else "packages, "
            rest = f"{kept}repositories, names, time, monitoring and firewall stay as they are"
            command.page.line(f"{', '.join(others)}: {rest}.", "dim")
        return command.report.code


def _question(command: Command) -> str:
    names = ", ".join(host.name for host in command.hosts)
    where = f", below {command.site.inventory.state_dir}" if all(host.local for host in command.hosts) else ""
    return f"This removes the servers of {names} with all data{where}."

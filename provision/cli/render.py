"""`provision render`."""

from __future__ import annotations

from typing import Annotated

import typer

from provision.cli.common import Command, InventoryFile, Limit
from provision.errors import InputError
from provision.tasks.postgresql import CONFIGURATION, rendered

Name = Annotated[str, typer.Argument(metavar="[FILE]", help="One of the files; all without.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def render(inventory: InventoryFile, file: Name = "", limit: Limit = "") -> int:
        """Show the configuration files of hosts as they would be written."""
        command = Command.begin(inventory, limit)
        if file and file not in CONFIGURATION:
            raise InputError(f"there is no file {file!r}, expected {' or '.join(CONFIGURATION)}")
        for host in command.hosts:
            for name in (file,) if file else CONFIGURATION:
                command.page.line(f"==> {host.name}: {name} <==", "bold")
                command.page.line(rendered(command.site.node(host), name).rstrip("\n"))
        return 0

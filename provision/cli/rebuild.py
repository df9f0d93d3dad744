"""`provision rebuild`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from provision.apply.events import Event
from provision.apply.rebuilding import rebuild as rebuilding
from provision.cli.asking import Asking
from provision.cli.common import (
    AskBecomePass,
    AskPass,
    Command,
    Diff,
    InventoryFile,
    Json,
    Limit,
    ReportFile,
    Verbose,
    Yes,
    confirm,
)
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
        ask_pass: AskPass = False,
        ask_become_pass: AskBecomePass = False,
        report: ReportFile = None,
        verbose: Verbose = False,
    ) -> int:
        """Wipe hosts and bring them back, data included, from the others. --limit says which.

        A host is only wiped if all that it holds is elsewhere: the syncs copy it back.
        """
        if not limit:
            raise InputError("--limit is missing: say which hosts to rebuild (for all of them: destroy, then deploy)")
        asking = Asking(ask_pass, ask_become_pass)
        command = Command.begin(inventory, limit, json=json, diff=diff, verbose=verbose, asking=asking)
        work = rebuilding(command.site.deploying(), command.hosts, command.stop, force=force)
        names = ", ".join(host.name for host in command.hosts)
        if not yes:
            confirm(f"This wipes the servers of {names}; what they hold is copied back from the others.", names)
        command.keep_log("rebuild")
        try:
            return _rebuild(command, work)
        finally:
            command.close(report, command="rebuild")


def _rebuild(command: Command, work: Iterator[Event]) -> int:
    shown = command.view()
    command.watch(work, shown)
    if command.report.code:
        shown.close(command.report)
        return command.report.code
    command.run().wanted()
    return converge(command, command.run(generate=True), proof=True, shown=shown)

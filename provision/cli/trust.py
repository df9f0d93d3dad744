"""`provision trust`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from provision.apply.trusting import Shown, State, accept, look
from provision.cli.common import FORKS, Command, Forks, InventoryFile, Json, Limit, Yes, confirm
from provision.errors import Unreachable
from provision.render.page import Cell

STYLES = {State.KNOWN: "ok", State.NEW: "changed"}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def trust(
        inventory: InventoryFile, limit: Limit = "", yes: Yes = False, json: Json = False, forks: Forks = FORKS
    ) -> int:
        """Show the keys of hosts, jump hosts too, and write down those that are not known yet, after asking.

        Compare the fingerprints with what the hosts themselves say (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`
        at their console). A key that has changed is never replaced.
        """
        command = Command.begin(inventory, limit, json=json)
        found = look(command.site, command.hosts, forks)
        if json:
            for shown in found:
                command.json_line({**asdict(shown), "state": str(shown.state)})
        else:
            _show(command, found)
        new = [shown for shown in found if shown.state is State.NEW]
        if new:
            if not yes:
                confirm(f"These {len(new)} keys are new." if len(new) > 1 else "This key is new.", "yes")
            accept(new)
        return _conclude(command, found, len(new))


def _show(command: Command, found: list[Shown]) -> None:
    header = [Cell(word, "bold") for word in ("host", "name in known_hosts", "key", "")]
    rows: list[list[Cell | str]] = [
        [shown.host, shown.name, shown.fingerprint, Cell(shown.said, STYLES.get(shown.state, "failed"))]
        for shown in found
    ]
    command.page.table([header, *rows], indent="")


def _conclude(command: Command, found: list[Shown], new: int) -> int:
    codes = {shown.state.code for shown in found}
    code = Unreachable.exit_code if Unreachable.exit_code in codes else max(codes, default=0)
    if not command.json:
        files = ", ".join(dict.fromkeys(shown.file for shown in found if shown.state is State.NEW))
        command.page.line()
        if new:
            command.page.line(f"{new} written to {files}.", "changed")
        elif not code:
            command.page.line("All keys are known." if found else "There is no host that is reached over SSH.", "ok")
        if code:
            command.page.line("Not all hosts can be trusted: mend what is said above, and run it again.", "failed")
    return code

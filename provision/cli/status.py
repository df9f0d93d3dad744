"""`provision status`."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict

import typer

from provision.apply.servers import ServerLine, servers
from provision.cli.asking import Asking
from provision.cli.common import AskBecomePass, AskPass, Command, InventoryFile, Json, Limit
from provision.errors import Differs
from provision.render.page import Cell
from provision.tasks.replication import summary
from provision.tasks.replication.report import Summary
from provision.tasks.service import UNIT


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def status(
        inventory: InventoryFile,
        limit: Limit = "",
        json: Json = False,
        ask_pass: AskPass = False,
        ask_become_pass: AskBecomePass = False,
    ) -> int:
        """Show which servers run and how the syncs stand. Exit code 3 if something is down."""
        command = Command.begin(inventory, limit, json=json, asking=Asking(ask_pass, ask_become_pass))
        lines = servers(command.site, command.hosts)
        found = summary(command.site) if command.site.inventory.replication else None
        if json:
            value = {"servers": [asdict(line) for line in lines], "replicator": asdict(found) if found else None}
            command.page.line(json_format.dumps(value, default=str, ensure_ascii=False))
        else:
            _show(command, lines, found)
        up = all(line.up for line in lines) and (found is None or found.pid is not None)
        return 0 if up else Differs.exit_code


def _show(command: Command, lines: list[ServerLine], found: Summary | None) -> None:
    encrypted = any(line.certificate for line in lines)
    words = ("host", "server", "version", "state", "certificate until")[: 5 if encrypted else 4]
    header = [Cell(word, "bold") for word in words]
    rows = [_row(line)[: len(words)] for line in lines]
    command.page.table([header, *rows], indent="")
    if found:
        command.page.line()
        _show_replicator(command, found)


def _row(line: ServerLine) -> list[Cell | str]:
    state = Cell(line.state, "ok" if line.up else "failed")
    return [line.host, line.address, line.version, state, line.certificate]


def _show_replicator(command: Command, found: Summary) -> None:
    page = command.page
    where = f" on {found.host}" if found.host else ""
    state = f"running{where}, process {found.pid}" if found.pid else f"not running{where}"
    page.line(f"replicator: {state}", "" if found.pid else "failed")
    if found.host:
        page.line(f"service: {UNIT}: {found.unit or 'not known'}")
    else:
        hint = "" if found.pointed else f" (replicator --config {found.config})"
        page.line(f"configuration: {found.config}{hint}")
    if found.trouble:
        page.line(found.trouble, "failed")
    if not found.syncs:
        return
    header = [Cell(word, "bold") for word in ("sync", "type", "from", "to", "state", "behind", "")]
    rows = [
        [s.name, s.type, s.source, ",".join(s.targets), s.state, "?" if s.behind is None else str(s.behind), s.detail]
        for s in found.syncs
    ]
    page.line()
    page.table([header, *rows], indent="")
    for sentence in found.late:
        page.line(sentence, "failed")

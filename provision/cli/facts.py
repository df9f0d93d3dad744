"""`provision facts`."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict, is_dataclass
from typing import Any

import typer

from provision.cli.common import Command, InventoryFile, Json, Limit, Tags
from provision.errors import HostFailed, ProvisionError
from provision.facts import Facts, NotYet, gather
from provision.plan import Item, probes
from provision.transport import connect


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def facts(inventory: InventoryFile, limit: Limit = "", tags: Tags = "", json: Json = False) -> int:
        """Show what is found on hosts: for each resource the facts that decide about it."""
        command = Command.begin(inventory, limit, json=json)
        run = command.run(tags)
        code = 0
        for name, wanted in run.wanted().items():
            transport = connect(command.site.inventory.host(name), command.site.keeper)
            try:
                _show(command, name, wanted, gather(transport, probes(wanted)))
            except ProvisionError as error:
                command.page.line(f"{name}: {error}", "failed")
                code = max(code, error.exit_code)
            finally:
                transport.close()
        return code


def _show(command: Command, host: str, wanted: tuple[Item, ...], found: Facts) -> None:
    for item in wanted:
        values = [_value(found, probe) for probe in item.resource.probes()]
        if command.json:
            line = {"host": host, "task": item.task, "resource": item.resource.name, "facts": values}
            command.page.line(json_format.dumps(line, default=str, ensure_ascii=False))
        else:
            command.page.line(f"{host}: {item.resource.name}: {'; '.join(str(value) for value in values)}")


def _value(found: Facts, probe: Any) -> object:
    try:
        value: object = found[probe]
    except NotYet as why:
        return f"not known: {why}"
    except HostFailed as why:
        return f"cannot be known: {why}"
    if is_dataclass(value) and not isinstance(value, type):
        return {key: part for key, part in asdict(value).items() if key not in ("text", "verifier")}
    return value

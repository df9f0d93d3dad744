"""`provision facts`."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import typer

from provision.cli.common import Command, InventoryFile, Json, Limit, Tags
from provision.errors import HostFailed, ProvisionError
from provision.facts import TRAITS, Facts, NotYet
from provision.plan import Impossible, Item


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def facts(inventory: InventoryFile, limit: Limit = "", tags: Tags = "", json: Json = False) -> int:
        """Show what is found on hosts: what they are, and for each resource the facts that decide about it."""
        command = Command.begin(inventory, limit, json=json)
        code = 0
        for name, begin in command.run(tags).host_begins().items():
            worker = None
            try:
                worker = begin(None)
                found = worker.facts()
                if not command.site.inventory.host(name).local:
                    _show_traits(command, name, found)
                _show(command, name, worker.wanted, found)
            except ProvisionError as error:
                said = str(error) if isinstance(error, Impossible) else f"{name}: {error}"
                command.page.line(said, "failed")
                code = max(code, error.exit_code)
            finally:
                if worker:
                    worker.close()
        return code


def _show_traits(command: Command, host: str, found: Facts) -> None:
    if command.json:
        line = {"host": host, "task": "", "resource": "traits", "facts": [asdict(found[TRAITS])]}
        command.page.line(json_format.dumps(line))
    else:
        command.page.line(f"{host}: {found[TRAITS]}")


def _show(command: Command, host: str, wanted: Sequence[Item], found: Facts) -> None:
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

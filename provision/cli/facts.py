"""`provision facts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any

import typer

from provision.apply.knowing import Known, known
from provision.cli.asking import Asking
from provision.cli.common import FORKS, AskBecomePass, AskPass, Command, Forks, InventoryFile, Json, Limit, Tags
from provision.errors import HostFailed
from provision.facts import TRAITS, Facts, NotYet, PathFact
from provision.plan import Impossible, Item

HIDDEN = ("text", "verifier", "digest")
"""Parts of facts that may hold secrets, or that nobody can read."""

OBVIOUS = ("kind", "state")
"""Parts of facts whose values say by themselves what they are."""

WIDEST = 140


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def facts(
        inventory: InventoryFile,
        limit: Limit = "",
        tags: Tags = "",
        json: Json = False,
        forks: Forks = FORKS,
        ask_pass: AskPass = False,
        ask_become_pass: AskBecomePass = False,
    ) -> int:
        """Show what is found on hosts: what they are, and for each resource the facts that decide about it."""
        command = Command.begin(inventory, limit, json=json, forks=forks, asking=Asking(ask_pass, ask_become_pass))
        code = 0
        for found in known(command.run(tags)):
            if found.error:
                said = str(found.error) if isinstance(found.error, Impossible) else f"{found.host}: {found.error}"
                command.page.line(said, "failed") if not json else command.json_line(_failed(found))
                code = max(code, found.error.exit_code)
            elif json:
                _print_json(command, found)
            else:
                _show(command, found)
        return code


def _failed(found: Known) -> dict[str, object]:
    return {"host": found.host, "task": "", "resource": "", "facts": [], "error": str(found.error)}


def _print_json(command: Command, found: Known) -> None:
    if not command.site.inventory.host(found.host).local:
        traits = [asdict(found.facts[TRAITS])]
        command.json_line({"host": found.host, "task": "", "resource": "traits", "facts": traits})
    for item in found.wanted:
        values = [_value(found.facts, probe) for probe in item.resource.probes()]
        command.json_line({"host": found.host, "task": item.task, "resource": item.resource.name, "facts": values})


def _show(command: Command, found: Known) -> None:
    host = command.site.inventory.host(found.host)
    what = f": {found.facts[TRAITS]}" if not host.local else ": this machine"
    command.page.line(f"{host.name} ({host.address}){what}", "bold")
    task = ""
    for item in found.wanted:
        if item.task != task:
            task = item.task
            command.page.line(f"  {task}", "dim")
        for line in _lines(found.facts, item):
            command.page.line(f"    {line}")


def _lines(facts: Facts, item: Item) -> Iterator[str]:
    values = [words for probe in item.resource.probes() if (words := _words(_value(facts, probe)))]
    line = f"{item.resource.name}: {'; '.join(dict.fromkeys(values)) or 'there'}"
    yield line if len(line) <= WIDEST else line[: WIDEST - 3] + "..."


def _words(value: object) -> str:
    """A fact as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        parts = ((str(key), _words(part)) for key, part in value.items() if part not in ("", None, (), [], {}))
        return ", ".join(words if key in OBVIOUS else f"{key.replace('_', ' ')} {words}" for key, words in parts)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_words(part) for part in value)
    return str(value.value if isinstance(value, Enum) else value)


def _value(found: Facts, probe: Any) -> object:
    try:
        value: object = found[probe]
    except NotYet as why:
        return f"not known: {why}"
    except HostFailed as why:
        return f"cannot be known: {why}"
    if is_dataclass(value) and not isinstance(value, type):
        if isinstance(value, PathFact) and value.kind == "absent":
            return "absent"
        return {key: _readable(key, part) for key, part in asdict(value).items() if key not in HIDDEN}
    return value


def _readable(key: str, part: object) -> object:
    return f"{part:04o}" if key == "mode" and isinstance(part, int) else part

"""Reads Ansible's INI inventory: `[group]`, `[group:vars]`, `[group:children]`, hosts with `key=value` after them.

Values are Python literals where they are ones (a number, a quoted text, True, a list), else text, as in Ansible.
"""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from provision.inventory.draft import UNGROUPED, Draft
from provision.inventory.faults import Faults, read_text
from provision.inventory.marks import Mark, Node, wrap

SECTION = re.compile(r"\[(?P<name>[^:\]]+)(?::(?P<kind>\w+))?\]\s*(?:[#;].*)?")
KINDS = ("hosts", "vars", "children")


def read(path: Path, draft: Draft, faults: Faults) -> None:
    """Add what an inventory file says to the draft."""
    reader = _Reader(draft, faults)
    for number, line in enumerate((read_text(path, faults) or "").splitlines(), start=1):
        if line.strip() and line.strip()[0] not in "#;":
            reader.line(line.strip(), Mark(str(path), number))


@dataclass
class _Reader:
    """group, kind: the section that the lines are in; kind is empty in one that is not understood."""

    draft: Draft
    faults: Faults
    group: str = UNGROUPED
    kind: str = "hosts"

    def line(self, line: str, mark: Mark) -> None:
        if line.startswith("["):
            self._section(line, mark)
        elif self.kind == "hosts":
            self._host(line, mark)
        elif self.kind == "vars":
            self._variable(line, mark)
        elif self.kind == "children":
            child = line.split("#", maxsplit=1)[0].strip()
            self.draft.add_child(self.group, child, mark.at(f"{self.group}:children", child))

    def _section(self, line: str, mark: Mark) -> None:
        found = SECTION.fullmatch(line)
        self.kind = (found["kind"] or "hosts") if found else ""
        if not found or self.kind not in KINDS:
            self.faults.add(mark, f"found {line!r}, expected [group], [group:vars] or [group:children]")
            self.kind = ""
            return
        self.group = found["name"]
        self.draft.group(self.group, mark.at(self.group))

    def _variable(self, line: str, mark: Mark) -> None:
        name, equals, value = line.partition("=")
        place = mark.at(f"{self.group}:vars")
        if equals:
            self.draft.groups[self.group].vars.append(_variables({name.strip(): value.strip()}, place))
        else:
            self.faults.add(place, f"found {line!r}, expected name=value")

    def _host(self, line: str, mark: Mark) -> None:
        try:
            name, *words = shlex.split(line, comments=True)
        except ValueError as error:
            self.faults.add(mark, f"found {line!r}, expected a host and name=value pairs ({str(error).lower()})")
            return
        place = mark.at(self.group, name)
        pairs = dict(word.split("=", 1) for word in words if "=" in word)
        for word in words:
            if "=" not in word:
                self.faults.add(place, f"found {word!r} after the host, expected name=value")
        self.draft.add_hosts(self.group, name, _variables(pairs, place) if pairs else None, place)


def _variables(pairs: dict[str, str], mark: Mark) -> Node:
    return Node({name: wrap(_literal(value), mark.at(name)) for name, value in pairs.items()}, mark)


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text

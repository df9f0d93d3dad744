"""Reads a YAML file into a tree of nodes with their lines, as YAML 1.1 (that is what Ansible reads).

It judges YAML alone: syntax, keys given twice, tags. What the tree should look like is others' business.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import yaml

from provision.errors import InputError
from provision.inventory.faults import Faults, read_text
from provision.inventory.marks import BROKEN, Broken, Mark, Node, SecretSource, Steps, Unread

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"
VAULTED = "$ANSIBLE_VAULT;"
WRITTEN = '!secret NAME, !env NAME or !command "COMMAND"'
"""How a secret is written in an inventory."""
SOURCES: dict[str, tuple[Literal["env", "command", "secret", "vault"], str]] = {
    "!secret": ("secret", "the name of an entry of the secrets file"),
    "!env": ("env", "the name of a variable"),
    "!command": ("command", "a command line in quotes"),
    "!vault": ("vault", "what ansible-vault encrypt_string prints"),
}


Unlock = Callable[[str, str], str]
"""Opens the text of a file, which it is told the name of, that Ansible Vault has encrypted. Raises InputError."""


def read(path: Path, faults: Faults, unlock: Unlock | None = None) -> Node | None:
    """The tree of a file; None when it is empty or cannot be read (then with a fault).

    Of a file that Ansible Vault has encrypted, every text is a secret.
    """
    text = read_text(path, faults)
    if text and text.startswith(VAULTED) and unlock:
        return _unlocked(text, path, faults, unlock)
    return None if text is None else parse(text, str(path), faults)


def _unlocked(text: str, path: Path, faults: Faults, unlock: Unlock) -> Node | None:
    try:
        return parse(unlock(text, str(path)), str(path), faults, secret=True)
    except InputError as error:
        for fault in error.faults:
            faults.add(Mark(fault.file, fault.line), fault.message, fatal=True)
        return None


def parse(text: str, file: str, faults: Faults, *, secret: bool = False) -> Node | None:
    """The tree of a YAML text; `file` names it in faults. secret: its texts are secrets."""
    try:
        loader = Loader(text)
    except yaml.YAMLError as error:
        faults.add(_error_mark(error, file, text), f"not valid YAML{_why(error, secret)}", fatal=True)
        return None
    try:
        root = loader.get_single_node()
        return None if root is None else _Converter(loader, file, faults, secret=secret).convert(root, ())
    except yaml.YAMLError as error:
        faults.add(_error_mark(error, file, text), f"not valid YAML{_why(error, secret)}", fatal=True)
        return None
    finally:
        loader.dispose()


class _Converter:
    """Turns the composer's nodes of one file into ours."""

    def __init__(self, loader: Any, file: str, faults: Faults, *, secret: bool) -> None:
        self.loader = loader
        self.file = file
        self.faults = faults
        self.secret = secret
        self.open: set[int] = set()

    def convert(self, raw: yaml.Node, path: Steps, key: Mark | None = None) -> Node:
        mark = key or self.mark(raw, path)
        if id(raw) in self.open:
            self.faults.add(mark, "found an alias inside of what it stands for, expected no loops")
            return Node(BROKEN, mark)
        self.open.add(id(raw))
        try:
            return Node(self._value(raw, path, mark), mark)
        finally:
            self.open.discard(id(raw))

    def mark(self, raw: yaml.Node, path: Steps) -> Mark:
        return Mark(self.file, raw.start_mark.line + 1, path)

    def _value(self, raw: yaml.Node, path: Steps, mark: Mark) -> object:
        if raw.tag.startswith("!"):
            return self._tagged(raw, mark)
        if isinstance(raw, yaml.MappingNode):
            return self._mapping(raw, path)
        if isinstance(raw, yaml.SequenceNode):
            return tuple(self.convert(child, (*path, index)) for index, child in enumerate(raw.value))
        try:
            value: object = self.loader.construct_object(raw)
        except (yaml.YAMLError, ValueError) as error:
            found = "a secret" if self.secret else repr(raw.value)
            self.faults.add(mark, f"found {found}, which is no valid value{_why(error, self.secret)}")
            return BROKEN
        return SecretSource("given", value, mark) if self.secret and isinstance(value, str) and value else value

    def _mapping(self, raw: yaml.MappingNode, path: Steps) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in raw.value:
            if key.tag == MERGE:
                merged = {**self._merged(value, path), **merged}
                continue
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                self.faults.add(self.mark(key, path), "found a list, a mapping or nothing as a key, expected a word")
                continue
            name = key.value
            mark = self.mark(key, (*path, name))
            if name in entries:
                first = entries[name].mark.line
                self.faults.add(mark, f"the key {name!r} is here twice (first in line {first}), expected it once")
            entries[name] = self.convert(value, (*path, name), mark)
        return {**merged, **entries}

    def _merged(self, value: yaml.Node, path: Steps) -> dict[str, Node]:
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        merged: dict[str, Node] = {}
        for part in parts:
            if not isinstance(part, yaml.MappingNode):
                self.faults.add(self.mark(part, path), "found no mapping after <<, expected an alias of one")
                continue
            merged = {**self.convert(part, path).items, **merged}
        return merged

    def _tagged(self, raw: yaml.Node, mark: Mark) -> SecretSource | Broken:
        source = SOURCES.get(raw.tag)
        if source is None:
            return Unread(f"found the tag {raw.tag}, expected {WRITTEN}")
        kind, what = source
        if isinstance(raw, yaml.ScalarNode) and raw.value.strip():
            return SecretSource(kind, raw.value.strip(), mark)
        self.faults.add(mark, f"found {raw.tag} without a value, expected {what}")
        return BROKEN


def _error_mark(error: Exception, file: str, text: str) -> Mark:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return Mark(file, mark.line + 1)
    position = getattr(error, "position", 0)
    return Mark(file, text[: position or 0].count("\n") + 1)


def _why(error: Exception, secret: bool) -> str:
    """What the parser says, which may quote the text."""
    return "" if secret else f": {_problem(error)}"


def _problem(error: Exception) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    if str(context).startswith("expected a single document"):
        return "found a second document (---), expected one"
    return f"{problem} ({context})" if context else str(problem)

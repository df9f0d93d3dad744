"""Which files make up an inventory, and each of them read into the draft.

An inventory is a file, several, or a folder of them; group_vars/ and host_vars/ lie beside. Files ending in .yml, .yaml
or .json are YAML, all others Ansible's INI.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from provision.inventory import ini_file, yaml_file, yaml_layout
from provision.inventory.draft import Draft
from provision.inventory.faults import Faults
from provision.inventory.marks import Mark, Node
from provision.inventory.wording import shown
from provision.inventory.yaml_file import Unlock

YAML = (".yml", ".yaml", ".json")
IGNORED_BY_ANSIBLE = (".bak", ".cfg", ".csv", ".j2", ".md", ".orig", ".pyc", ".pyo", ".retry", ".rst", ".rpm", ".swp")
IGNORED = (*IGNORED_BY_ANSIBLE, ".txt", "~", ".enc")
VARS = ("group_vars", "host_vars")


def read_all(paths: Sequence[Path], draft: Draft, faults: Faults, unlock: Unlock | None = None) -> tuple[Path, ...]:
    """Read the files of an inventory into the draft; the files that were read."""
    read: list[Path] = []
    folders: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            faults.add(Mark(str(path)), "there is no such file or folder", fatal=True)
        for file in _files(path):
            _read(file, draft, faults)
            read.append(file)
        folders[path if path.is_dir() else path.parent] = None
    for folder in folders:
        read += _read_vars(folder, draft, faults, unlock)
    return tuple(read)


def _files(path: Path) -> Iterator[Path]:
    """The inventory files of a path, in Ansible's order."""
    if path.is_file():
        yield path
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name in VARS or child.name.startswith(".") or child.name.endswith(IGNORED):
                continue
            yield from _files(child)


def _read(file: Path, draft: Draft, faults: Faults) -> None:
    if file.suffix in YAML or _looks_like_yaml(file):
        root = yaml_file.read(file, faults)
        if root is not None:
            yaml_layout.fill(draft, root, faults)
    elif os.access(file, os.X_OK) and _start(file).startswith("#!"):
        faults.add(Mark(str(file)), "found a program, expected a file of hosts; keep what it prints as a .json file")
    else:
        ini_file.read(file, draft, faults)


def _start(file: Path) -> str:
    """The first lines of a file; nothing of one that is no text or cannot be read."""
    try:
        with file.open(encoding="utf-8") as text:
            return text.read(4096)
    except (OSError, UnicodeDecodeError):
        return ""


def _looks_like_yaml(file: Path) -> bool:
    """Whether a file without an ending that says so is YAML: it begins with `---` or a group's name and a colon."""
    if file.suffix == ".ini":
        return False
    lines = (line.rstrip() for line in _start(file).splitlines() if line.strip() and line.lstrip()[0] not in "#;")
    return re.fullmatch(r"---|[\w.-]+:\s*(#.*)?", next(lines, "")) is not None


def _read_vars(folder: Path, draft: Draft, faults: Faults, unlock: Unlock | None) -> list[Path]:
    read: list[Path] = []
    for name, group in draft.groups.items():
        for file, node in _variables(folder / "group_vars", name, draft, faults, unlock):
            read.append(file)
            group.files += [node] if node else []
    for name, host in draft.hosts.items():
        for file, node in _variables(folder / "host_vars", name, draft, faults, unlock):
            read.append(file)
            host.files += [node] if node else []
    return read


def _variables(
    folder: Path, name: str, draft: Draft, faults: Faults, unlock: Unlock | None
) -> Iterator[tuple[Path, Node | None]]:
    """The variable files of a group or host: `name`, `name.yml` ..., or all in a folder `name/`."""
    for file in _variable_files(folder, name):
        if unlock is None and _start(file).startswith(yaml_file.VAULTED):
            draft.encrypted.append(Mark(str(file)))
            continue
        node = yaml_file.read(file, faults, unlock)
        if node is not None and not isinstance(node.value, dict):
            faults.add(node.mark, f"found {shown(node.plain())}, expected variables (`name: value` lines)")
            node = None
        yield file, node


def _variable_files(folder: Path, name: str) -> Iterator[Path]:
    for candidate in (folder / name, *(folder / (name + suffix) for suffix in YAML)):
        if candidate.is_file():
            yield candidate
        elif candidate.is_dir() and candidate.name == name:
            inside = (file for file in sorted(candidate.rglob("*")) if file.is_file())
            yield from (file for file in inside if not file.name.startswith(".") and not file.name.endswith(IGNORED))

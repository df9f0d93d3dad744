"""Lets somebody edit secrets: as YAML in a private file in memory, gone as soon as the editor has ended."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from provision.errors import InputError
from provision.secrets.vault import ENTRY, NAMES

HEADER = "# One entry a line, as `name: value`. This file is removed when the editor ends.\n"
IN_MEMORY = ("XDG_RUNTIME_DIR", "/dev/shm")  # noqa: S108


def edited(entries: Mapping[str, str]) -> dict[str, str]:
    """The entries as somebody leaves them. Raises InputError, nothing of what was typed being in it."""
    with tempfile.TemporaryDirectory(prefix="pgherd-", dir=_place()) as folder:  # mode 0700
        path = Path(folder) / "secrets.yml"
        path.touch(mode=0o600)
        path.write_text(HEADER + (yaml.safe_dump(dict(entries), allow_unicode=True) if entries else ""))
        while True:
            _run_editor(path)
            try:
                return _parsed(path.read_text())
            except (InputError, UnicodeDecodeError) as error:
                if not _again(str(error)):
                    raise InputError(f"{error}; nothing was changed") from None


def _place() -> str | None:
    places = (os.environ.get(name, "") if name.isupper() else name for name in IN_MEMORY)
    return next((place for place in places if place and os.access(place, os.W_OK)), None)


def _run_editor(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
    except (OSError, ValueError) as error:
        raise InputError(f"the editor {editor!r} cannot be run: set EDITOR; nothing was changed") from error
    if code:
        raise InputError(f"the editor {editor!r} ended with code {code}; nothing was changed")


def _parsed(text: str) -> dict[str, str]:
    try:
        found = yaml.load(text, Loader=yaml.BaseLoader) or {}  # noqa: S506 - texts only: 007 stays 007
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"line {mark.line + 1 if mark else 1} is no valid YAML") from None
    if not isinstance(found, dict):
        raise InputError("found no `name: value` lines")
    for name, value in found.items():
        if not ENTRY.fullmatch(name):
            raise InputError(f"found the name {name!r}, expected {NAMES}")
        if not isinstance(value, str) or not value:
            raise InputError(f"{name}: found no text, expected its value")
    return dict(found)


def _again(mistake: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"{mistake}. Edit again? [Y/n] ").strip().lower() in ("", "y", "yes")

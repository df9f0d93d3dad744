"""Folders and files, whole: their content, mode and owner."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from provision.change import Change
from provision.errors import HostFailed
from provision.facts import AnyProbe, Facts, PathFact, digest_of, look_at, text_of
from provision.resources.base import here
from provision.secrets import MASK
from provision.transport import quote

CANDIDATE = '"$t"'
"""The new file, while it lies beside its place."""


@dataclass(frozen=True, kw_only=True)
class Directory:
    """A folder. owner: "" leaves it to whoever we are there. ours: one that was there gets mode and owner too.

    group: "" is the owner's own.
    """

    path: str
    mode: int = 0o755
    owner: str = ""
    group: str = ""
    ours: bool = True

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"folder {self.path}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (look_at(self.path),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[look_at(self.path)]
        path = quote(self.path)
        if found.kind == "absent":
            # Parents are made for everyone to pass: an account that a server runs under has to get through.
            script = f"(umask 022; mkdir -p {path}) || exit 1\n{_belong(path, self.mode, self._whose)}"
            return [Change(summary=f"create folder {self.path}", script=script)]
        if found.kind != "directory":
            raise HostFailed(f"{self.path} is a {found.kind}, not a folder.", hint="Move it away.")
        return _belonging(self.path, self.mode, self._whose, found) if self.ours else []

    @property
    def _whose(self) -> tuple[str, str]:
        return self.owner, self.group


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that we own whole.

    secret: its text is neither fetched nor shown. check: a fragment that judges the candidate (its path is in "$t")
    before it goes in. confirm: a fragment that judges it in place; when that fails, the old file comes back. owner,
    group: as of a `Directory`.
    """

    path: str
    text: str = field(repr=False)
    mode: int = 0o644
    owner: str = ""
    group: str = ""
    secret: bool = False
    check: str = field(default="", repr=False)
    confirm: str = field(default="", repr=False)
    follows: str = ""

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"file {self.path}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (digest_of(self.path) if self.secret else text_of(self.path),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[digest_of(self.path) if self.secret else text_of(self.path)]
        if found.kind not in ("absent", "file"):
            raise HostFailed(f"{self.path} is a {found.kind}, not a file.", hint="Move it away.")
        if found.kind == "file" and self._same(found):
            return _belonging(self.path, self.mode, self._whose, found)
        verb = "replace" if found.kind == "file" else "write"
        return [
            Change(
                summary=f"{verb} {self.path}",
                script=self.script(backup=found.kind == "file"),
                before=self._shown(found.text, there=found.kind == "file"),
                after=self._shown(self.text, there=True),
                follows=self.follows if found.kind == "file" else "",
            )
        ]

    @property
    def _whose(self) -> tuple[str, str]:
        return self.owner, self.group

    def _same(self, found: PathFact) -> bool:
        if self.secret:
            return found.digest == hashlib.sha256(self.text.encode()).hexdigest()
        return found.text == self.text

    def _shown(self, text: str | None, *, there: bool) -> str | None:
        if not there:
            return None
        return MASK if self.secret else text

    def script(self, *, backup: bool) -> str:
        """Write beside, judge, keep the old one, rename. Killed anywhere, the old or the new file is there, whole."""
        place, path = PurePosixPath(self.path), quote(self.path)
        candidate = quote(f"{place.parent}/.{place.name}")
        opening, body = here(self.text)
        keep = f"cp -p {path} {path}.previous || exit 1\n" if backup else ""
        return (
            f"rm -f {candidate}-*; t=$(mktemp {candidate}-XXXXXX) || exit 1; export t\n"
            "trap 'rm -f \"$t\"' EXIT\n"
            f'cat >"$t" {opening} || exit 1\n{body}'
            f"{_belong(CANDIDATE, self.mode, self._whose)}"
            f'{self._judge()}{keep}sync "$t" 2>/dev/null; mv -f "$t" {path} || exit 1\n'
            f"{relabel(path)}{self._look_again(backup=backup)}"
        )

    def _judge(self) -> str:
        if not self.check:
            return ""
        named = f'sed "s|$t|{self.path}|g"'
        return f"said=$(\n{self.check.rstrip()}\n) || {{ printf '%s\\n' \"$said\" | {named}; exit 1; }}\n"

    def _look_again(self, *, backup: bool) -> str:
        if not self.confirm:
            return ""
        path = quote(self.path)
        back = f"mv -f {path}.previous {path}" if backup else f"rm -f {path}"
        return f"(\n{self.confirm.rstrip()}\n) || {{ {back}; echo 'the old file is back in place'; exit 1; }}\n"


def relabel(path: str, options: str = "") -> str:
    """A fragment that gives what was renamed to a (quoted) path the SELinux label of its new place."""
    return f"if command -v restorecon >/dev/null 2>&1; then restorecon {options}{path} 2>/dev/null || :; fi\n"


def _belong(path: str, mode: int, whose: tuple[str, str]) -> str:
    owner, group = whose
    lines = f"chmod {mode:o} {path} || exit 1\n"
    if owner or group:
        lines += f"chown {quote(owner)}:{quote(group) if group else ''} {path} || exit 1\n"
    return lines


def _belonging(path: str, mode: int, whose: tuple[str, str], found: PathFact) -> list[Change]:
    """The changes that give a path the right mode, owner and group."""
    owner, group = whose
    right = found.mode == mode and owner in ("", found.owner) and group in ("", found.group)
    if right:
        return []
    before = f"mode {found.mode:o} owner {found.owner}"
    after = f"mode {mode:o} owner {owner or found.owner}"
    if group:
        before, after = f"{before} group {found.group}", f"{after} group {group}"
    script = _belong(quote(path), mode, whose)
    return [Change(summary=f"set {after} on {path}", script=script, before=before, after=after)]

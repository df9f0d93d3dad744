"""Package repositories: keys that were checked before they are trusted, and settings of repositories that are there."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provision.change import Change
from provision.errors import HostFailed
from provision.facts import AnyProbe, Facts, Probe
from provision.resources.base import here
from provision.resources.files import File
from provision.resources.packages import install
from provision.transport import quote

FOLDER = "/etc/yum.repos.d"
KEYS = "/etc/pki/rpm-gpg"


@dataclass(frozen=True, kw_only=True)
class TrustedKey:
    """A key that packages are checked with, in a file and in rpm's database.

    Its fingerprint is part of the file's name, so another key is another file. source: an address that the host
    fetches it from, or the key's own text. It is judged before rpm sees it: rpm would take whatever the file holds.
    """

    label: str
    source: str = field(repr=False)
    fingerprint: str
    installer: str = "dnf"

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"key of {self.label}"

    @property
    def path(self) -> str:
        """Where it is kept."""
        return f"{KEYS}/RPM-GPG-KEY-{self.label}-{self.fingerprint[-16:]}"

    @property
    def _trusted(self) -> Probe[bool]:
        known = f"rpm -q gpg-pubkey-{self.fingerprint[-8:].lower()} >/dev/null 2>&1"
        return Probe(
            f"if [ -s {quote(self.path)} ] && {known}; then echo yes; else echo no; fi",
            lambda text: text.strip() == "yes",
            False,
        )

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._trusted,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[self._trusted]:
            return []
        return [Change(summary=f"trust {self.name}", script=self._script(), after=self.fingerprint)]

    def _script(self) -> str:
        path, wanted = quote(self.path), self.fingerprint
        return (
            "gpg=$(command -v gpg || command -v gpg2) || {\n"
            f"{install(self.installer, ['gnupg2'])}gpg=$(command -v gpg || command -v gpg2)\n}}\n"
            f"t=$(mktemp {KEYS}/.pgherd-XXXXXX) && d=$(mktemp -d) || exit 1\n"
            'trap \'rm -rf "$t" "$d"\' EXIT\n'
            f"{self._fetch()}"
            'found=$("$gpg" --batch --no-tty --homedir "$d" --with-colons --with-fingerprint "$t" 2>/dev/null |\n'
            '  awk -F: \'$1 == "pub" { primary = 1 } $1 == "fpr" && primary { print $10; primary = 0 }\')\n'
            f'[ "$found" = {wanted} ] || {{\n'
            f"  echo the key of {quote(self.label)} from {quote(self._place)} has the fingerprint"
            f" ${{found:-of no key}}, {wanted} is declared, so it is not trusted: compare both with what its owner"
            " publishes.\n  exit 1\n}\n"
            f'chmod 644 "$t" && mv -f "$t" {path} && rpm --import {path}\n'
        )

    @property
    def _place(self) -> str:
        return self.source if "://" in self.source else "the inventory"

    def _fetch(self) -> str:
        if "://" not in self.source:
            opening, body = here(self.source)
            return f'cat >"$t" {opening} || exit 1\n{body}'
        address = quote(self.source)
        return (
            f'said=$(curl -fsSL --connect-timeout 10 --max-time 60 -o "$t" {address} 2>&1) || {{\n'
            f'  echo the key of {quote(self.label)} cannot be fetched from {address} "($said):"'
            " correct its address, or let the host reach it.\n  exit 1\n}\n"
        )


SECTION = re.compile(r"\[([^\]]+)\]\s*")
OPTION = re.compile(r"([A-Za-z_]+)\s*=")


@dataclass(frozen=True)
class FoundRepository:
    """A section of a repository file. path: of the file, "" when no file has it; text: the whole file."""

    path: str = ""
    text: str = ""


def _found(text: str) -> FoundRepository:
    path, _, coded = text.partition("\n")
    return FoundRepository(path, base64.b64decode(coded).decode(errors="replace")) if path else FoundRepository()


def section_of(text: str, name: str) -> dict[str, str]:
    """The options of a section, by name."""
    found: dict[str, str] = {}
    for line in _lines_of(text, name):
        option = OPTION.match(line)
        if option:
            found[option[1]] = line[option.end() :].strip()
    return found


def _lines_of(text: str, name: str) -> list[str]:
    start, end = _bounds(text.splitlines(), name)
    return text.splitlines()[start:end]


def _bounds(lines: Sequence[str], name: str) -> tuple[int, int]:
    """The lines of a section, its header left out."""
    start = 0
    for number, line in enumerate(lines):
        header = SECTION.fullmatch(line)
        if header and start:
            return start, number
        if header and header[1].lower() == name.lower():
            start = number + 1
    return (start, len(lines)) if start else (0, 0)


@dataclass(frozen=True, kw_only=True)
class RepositoryOptions:
    """Options of a repository that is there; None: an option that is not. Its other lines stay as they are.

    only_if: what the section must hold for this to matter (a dead address); empty: it always does, and the repository
    has to be there.
    """

    repository: str
    options: Mapping[str, str | None] = field(hash=False)
    only_if: str = ""

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"repository {self.repository}"

    @property
    def _section(self) -> Probe[FoundRepository]:
        pattern = quote(f"^\\[{self.repository}\\] *$")
        script = (
            f"f=$(grep -il {pattern} {FOLDER}/*.repo 2>/dev/null | head -n 1)\n"
            'if [ -n "$f" ]; then echo "$f"; base64 <"$f"; fi\n'
        )
        path, text = f"{FOLDER}/{self.repository}.repo", f"[{self.repository}]\n"
        return Probe(script, _found, FoundRepository(path, text))

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._section,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._section]
        if not found.path:
            if self.only_if:
                return []
            raise HostFailed(
                f"the host has no repository {self.repository}, and the inventory does not say where it is.",
                hint="Give it a baseurl and a gpgkey, or correct its name.",
            )
        there = section_of(found.text, self.repository)
        if self.only_if and not any(re.search(self.only_if, value) for value in there.values()):
            return []
        if all(there.get(option) == value for option, value in self.options.items()):
            return []
        file = File(path=found.path, text=self._changed(found.text))
        change = Change(
            summary=f"set {self._summary(there)} of repository {self.repository}",
            script=file.script(backup=True),
            before=found.text,
            after=file.text,
        )
        return [change]

    def _summary(self, there: Mapping[str, str]) -> str:
        return ", ".join(option for option, value in self.options.items() if there.get(option) != value)

    def _changed(self, text: str) -> str:
        lines = text.splitlines()
        start, end = _bounds(lines, self.repository)
        kept = [line for line in lines[start:end] if _option(line) not in self.options]
        while kept and not kept[-1].strip():
            kept.pop()
        new = [f"{option}={value}" for option, value in self.options.items() if value is not None]
        gap = [""] if lines[end:] else []
        return "\n".join([*lines[:start], *kept, *new, *gap, *lines[end:]]) + "\n"


def _option(line: str) -> str:
    found = OPTION.match(line)
    return found[1] if found else ""

"""Facts about files and folders."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from provision.facts.probe import Probe
from provision.transport import quote

Kind = Literal["absent", "file", "directory", "link", "other"]


@dataclass(frozen=True)
class PathFact:
    """A path. mode: permission bits; text, digest (sha256, hex): of a file, when the probe was to read it."""

    kind: Kind = "absent"
    mode: int = 0
    owner: str = ""
    group: str = ""
    text: str | None = None
    digest: str = ""


def look_at(path: str) -> Probe[PathFact]:
    """Asks what a path is and whose."""
    return _probe(path, "", lambda fact, _: fact)


def text_of(path: str) -> Probe[PathFact]:
    """Asks for a file's content as well."""
    return _probe(path, f"base64 <{quote(path)}", _with_text)


def digest_of(path: str) -> Probe[PathFact]:
    """Asks for the digest of a file's content: for what must not travel, or is not text."""
    return _probe(path, f"digest {quote(path)}", _with_digest)


def _probe(path: str, read: str, finish: Callable[[PathFact, str], PathFact]) -> Probe[PathFact]:
    script = f"describe {quote(path)} || exit 1\n"
    if read:
        script += f'if [ "$(kind_of {quote(path)})" = file ]; then {read} || exit 1; fi\n'

    def parse(text: str) -> PathFact:
        first, _, rest = text.partition("\n")
        return finish(_described(first), rest)

    return Probe(script, parse, PathFact())


def _described(line: str) -> PathFact:
    if line == "absent":
        return PathFact()
    kind, mode, owner, group = line.split("|")
    known: dict[str, Kind] = {"directory": "directory", "file": "file", "link": "link"}
    return PathFact(known.get(kind, "other"), int(mode, 8), owner, group)


def _with_text(fact: PathFact, rest: str) -> PathFact:
    if fact.kind != "file":
        return fact
    text = base64.b64decode(rest).decode(errors="replace")
    return PathFact(fact.kind, fact.mode, fact.owner, fact.group, text)


def _with_digest(fact: PathFact, rest: str) -> PathFact:
    return PathFact(fact.kind, fact.mode, fact.owner, fact.group, digest=rest.strip().partition(" ")[0])


def free_space(path: str) -> Probe[int]:
    """Asks how many megabytes are free where a path is, or is to be. Of a host that we cannot ask: plenty."""
    script = (
        f'p={quote(path)}; while [ ! -e "$p" ]; do p=$(dirname "$p"); done\n'
        "df -Pk \"$p\" | awk 'NR == 2 { print int($4 / 1024) }'\n"
    )
    return Probe(script, int, sys.maxsize)

"""Which hosts a pattern stands for, in Ansible's language: `web:&staging:!web3`, globs, `~regex`, `group[0]`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence

from provision.errors import InputError
from provision.inventory.wording import suggestion

SUBSCRIPT = re.compile(r"(?P<name>.+)\[(?:(?P<index>-?\d+)|(?P<start>\d+):(?P<end>\d*))\]")
BETWEEN = re.compile(r":(?![^\[]*\])")


def select(pattern: str, hosts: Sequence[str], groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The hosts of a pattern, in the order of `hosts`. Raises InputError when a part of it or all of it finds none."""
    parts = [part.strip() for part in (pattern.split(",") if "," in pattern else BETWEEN.split(pattern))]
    parts = [part for part in parts if part]
    chosen = _union([part for part in parts if part[0] not in "&!"], hosts, groups)
    if not any(part[0] not in "&!" for part in parts):
        chosen = set(hosts)
    for part in parts:
        if part.startswith("&"):
            chosen &= _hosts(part[1:], hosts, groups)
        elif part.startswith("!"):
            chosen -= _hosts(part[1:], hosts, groups)
    if not chosen:
        raise InputError(f"{pattern!r} leaves no host to work on; the inventory has {', '.join(hosts)}.")
    return tuple(host for host in hosts if host in chosen)


def _union(parts: list[str], hosts: Sequence[str], groups: Mapping[str, Sequence[str]]) -> set[str]:
    return {host for part in parts for host in _hosts(part, hosts, groups)}


def _hosts(part: str, hosts: Sequence[str], groups: Mapping[str, Sequence[str]]) -> set[str]:
    found = SUBSCRIPT.fullmatch(part)
    if not found:
        return set(_named(part, hosts, groups))
    members = _named(found["name"], hosts, groups)
    if found["index"]:
        index = int(found["index"])
        return set(members[index : index + 1 or None])
    end = int(found["end"]) + 1 if found["end"] else None
    return set(members[int(found["start"]) : end])


def _named(name: str, hosts: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    if name in ("all", "*"):
        return list(hosts)
    matches = re.compile(_regex(name)).match
    inside = {host for group, members in groups.items() if matches(group) for host in members}
    found = [host for host in hosts if host in inside or matches(host)]
    if not found and not any(matches(group) for group in groups):
        guess = suggestion(name, [*hosts, *groups]) or f"the inventory has {', '.join(hosts)}."
        raise InputError(f"no host or group is called {name!r}; {guess}")
    return found


def _regex(name: str) -> str:
    if not name.startswith("~"):
        return fnmatch.translate(name)
    try:
        return re.compile(name[1:]).pattern
    except re.error as error:
        raise InputError(f"{name!r} is no regular expression: {error}.") from error

"""Values as people write them on a command line. Pure; all raise UsageError saying what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from replicator.errors import UsageError
from replicator.model import Role, TableName

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> timedelta | None:
    """`30`, `30s`, `1h30m`, `1 day 2 hours` or `00:00:30`; `none` and `0` are no duration at all."""
    spelt = text.strip().lower()
    if spelt in ("none", "null", "never", ""):
        return None
    if clock := re.fullmatch(r"(\d+):([0-5]?\d):([0-5]?\d)", spelt):
        hours, minutes, seconds = map(int, clock.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds) or None
    unit = r"(\d+(?:\.\d+)?)\s*(s|m|h|d|)(?:ec(?:ond)?s?|in(?:ute)?s?|(?:ou)?rs?|ays?)?\s*"
    if not re.fullmatch(f"({unit})+", spelt):
        raise UsageError(f"{text!r} is not a duration; write for example 30s, 5m, 1h30m, or none.")
    return timedelta(seconds=sum(float(n) * SECONDS[u] for n, u in re.findall(unit, spelt))) or None


def moment(text: str, now: datetime) -> datetime:
    """A time as ISO writes it (UTC where it names no zone), or a duration before `now`."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        pass
    else:
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    try:
        return now - (duration(text) or timedelta())
    except (UsageError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is neither a time nor a duration; write for example 2026-01-31, '2026-01-31 12:00' or 2h."
        ) from error


def table_names(words: Iterable[str]) -> tuple[TableName, ...]:
    """`name` (in schema public), `schema.name`, either part in double quotes; several in one word with commas."""
    return tuple(_table_name(part) for word in words for part in _split(word))


def _split(word: str) -> list[str]:
    if word.count('"') % 2:
        return [word]
    return re.findall(r'(?:[^,"]|"(?:[^"]|"")*")+', word) or [word]


def _table_name(word: str) -> TableName:
    try:
        return TableName.parse(word)
    except ValueError as error:
        raise UsageError(
            f"{word!r} is not a table's name; write name, schema.name, or quote a part that holds a dot:"
            " '\"odd.schema\".name'."
        ) from error


def names(words: Iterable[str]) -> tuple[str, ...]:
    """Names, several in one word with commas; a repeated one counts once."""
    parts = (part.strip() for word in words for part in word.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def members(words: Iterable[str]) -> tuple[tuple[str, ...], dict[str, Role]]:
    """`database` or `database:role` words: the databases, and the roles of those that were given one."""
    found: dict[str, Role | None] = {}
    for word in names(words):
        name, colon, role = word.partition(":")
        if colon and role not in list(Role):
            raise UsageError(f"{word!r}: {role!r} is not a role; write {name}:source or {name}:target.")
        found[name] = Role(role) if colon else found.get(name)
    return tuple(found), {name: role for name, role in found.items() if role}


def pairs(words: Iterable[str]) -> dict[str, str]:
    """`key=value` words."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is not an option; write key=value, for example sslmode=require.")
        found[key.strip()] = value.strip()
    return found


def own_strategies(words: Iterable[str]) -> tuple[tuple[TableName, str], ...]:
    """`table=strategy` words; `table=` takes a table's own strategy away and is given back with an empty one."""
    found: dict[TableName, str] = {}
    for word in words:
        table, equals, strategy = word.rpartition("=")
        if not equals:
            raise UsageError(f"{word!r} is not a table's strategy; write table=strategy, for example notes=source.")
        found[_table_name(table)] = strategy.strip()
    return tuple(sorted(found.items()))

"""The nouns of Bucardo 4.5 with their other spellings, and the tables that its messages name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from replicator.errors import UsageError

T = TypeVar("T")

SPELLINGS = {
    "code": ("code", "customcode", "custom_code"),
    "db": ("db", "database"),
    "dbgroup": ("dbgroup", "dbg", "dbgrp", "databasegroup"),
    "herd": ("herd",),
    "sequence": ("sequence", "seq"),
    "sync": ("sync",),
    "table": ("table", "tab"),
}
LISTED = "code, db, dbgroup, table, sequence, herd, sync, customcode"
"""The nouns as help texts list them."""

ENTRIES = {"code": "db", "db": "db", "dbgroup": "dbgroup", "herd": "herd", "sequence": "goat", "sync": "sync"}
ENTRIES["table"] = "goat"
"""The table that `list` names when it has nothing to show."""


def noun(word: str) -> str | None:
    """The noun that a word means, singular or plural, in either case; None when it is none."""
    single = re.sub(r"(?<=[a-z])s$", "", word.lower())
    return next((name for name, forms in SPELLINGS.items() if single in forms), None)


def needed(verb: str, words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The noun and the words behind it. Raises UsageError when there is none, or it is not known."""
    if not words:
        raise UsageError(f"Usage: {verb} <type> [options]\nThe type is one of: {LISTED}")
    found = noun(words[0])
    if found is None:
        raise UsageError(f"Unknown type to {verb}: {words[0]}\nThe type is one of: {LISTED}")
    return found, tuple(words[1:])


def matcher(pattern: str) -> re.Pattern[str]:
    """A name, or one with wildcards (`*` or `%`), that stands for all that it fits."""
    return re.compile(".*".join(map(re.escape, re.split(r"[*%]+", pattern))), re.DOTALL)


def is_pattern(word: str) -> bool:
    """Whether a word stands for several names."""
    return "*" in word or "%" in word


def fits(pattern: str, names: Iterable[str]) -> bool:
    """Whether one of an object's names is what a word means."""
    found = matcher(pattern)
    return any(found.fullmatch(name) for name in names)

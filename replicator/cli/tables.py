"""Tables and sequences as commands name them: by name, by pattern, or all that a database has.

kind is everywhere "table" or "sequence".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from replicator import relations
from replicator.cli.values import table_names
from replicator.errors import NotFound
from replicator.model import Database, Herd, TableName
from replicator.postgres import Connector, translated


def chosen(
    connector: Connector, database: Database, words: Sequence[str], *, kind: str = "table"
) -> tuple[TableName, ...]:
    """The relations that words name, a pattern standing for all that match. Raises NotFound for all the others."""
    with connector.open(database, "cli", autocommit=True) as connection, translated(str(database)):
        patterns = [word for word in words if is_pattern(word)]
        names = table_names(word for word in words if word not in patterns)
        there = relations.describe(connection, names)
        have = _user_relations[kind](connection) if patterns else []
    missing = [f"{database.name}: there is no {kind} {name}" for name in names if name not in there]
    missing += [f"{database.name}: {name} is not a {kind}" for name in there if there[name].kind not in _kinds[kind]]
    missing += [f"{database.name}: no {kind} matches {word}" for word in patterns if not matching(have, [word])]
    if missing:
        raise NotFound("\n".join(missing))
    return tuple(dict.fromkeys([*names, *matching(have, patterns)]))


def every(
    connector: Connector,
    database: Database,
    *,
    kind: str = "table",
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> tuple[TableName, ...]:
    """All tables (or sequences) of a database in the order of their creation, but for those that a pattern excludes."""
    with connector.open(database, "cli", autocommit=True) as connection, translated(str(database)):
        have = _user_relations[kind](connection)
    excluded = matching(have, exclude)
    return tuple(name for name in (matching(have, only) if only else have) if name not in excluded)


_kinds = {"table": "rp", "sequence": "S"}
_user_relations = {"table": relations.user_tables, "sequence": relations.user_sequences}


def is_pattern(word: str) -> bool:
    """Whether a word stands for several names: it holds `*`, `?` or Bucardo's `%`, outside of quotes."""
    return '"' not in word and any(sign in word for sign in "*?%")


def matching(names: Iterable[TableName], patterns: Sequence[str]) -> list[TableName]:
    """The names that a pattern matches, with or without their schema. Pure."""
    spelt = [pattern.replace("%", "*") for pattern in patterns]
    return [name for name in names if any(_matches(name, pattern) for pattern in spelt)]


def _matches(name: TableName, pattern: str) -> bool:
    forms = (name.name, f"{name.schema}.{name.name}", str(name))
    return any(fnmatchcase(form, pattern) for form in forms)


def extended(herd: Herd, kind: str, found: Sequence[TableName]) -> Herd:
    """The herd with more members; those that it has already stay where they are. Pure."""
    return _with(herd, kind, tuple(dict.fromkeys([*_members(herd, kind), *found])))


def reduced(herd: Herd, kind: str, unwanted: Sequence[TableName], *, strict: bool = True) -> Herd:
    """The herd without some members. Raises NotFound (if strict) for those that it does not list. Pure."""
    have = _members(herd, kind)
    if strict and (missing := [str(name) for name in unwanted if name not in have]):
        raise NotFound(f"herd {herd.name} lists no {kind} {', '.join(missing)}.")
    return _with(herd, kind, tuple(name for name in have if name not in unwanted))


def _members(herd: Herd, kind: str) -> tuple[TableName, ...]:
    return herd.tables if kind == "table" else herd.sequences


def _with(herd: Herd, kind: str, members: tuple[TableName, ...]) -> Herd:
    return replace(herd, tables=members) if kind == "table" else replace(herd, sequences=members)

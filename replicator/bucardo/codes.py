"""Custom code in Bucardo's words: what a line says of it as a hook of a sync, or as the rule for its conflicts. Pure.

Bucardo's code is Perl; here it is a function, in SQL on the target or in Python beside the daemon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from replicator import hook as hooks
from replicator.errors import NotFound, UsageError
from replicator.hook import Hook
from replicator.model import Sync, TableName, Topology

KNOWN = ("active", "getdbh", "getrows", "goat", "priority", "src_code", "sync", "trigrules", "whenrun")
CONFLICT = "conflict"
FUNCTION = "run"
"""The function of a Python file, unless it is named behind the file."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """One piece. when: Bucardo's word. syncs: those that run it; tables: for batches with these only."""

    name: str
    when: str
    call: str
    syncs: tuple[str, ...]
    tables: tuple[TableName, ...] = ()


def call_of(source: str) -> str:
    """What `src_code=` says: `sql:FUNCTION`, `python:...`, or a Python file. Raises UsageError for all else."""
    if source.startswith(("sql:", "python:")):
        return source
    path, colon, function = source.partition(".py:")
    if colon:
        return f"python:{Path(f'{path}.py').resolve()}:{function}"
    if source.endswith(".py"):
        return f"python:{Path(source).resolve()}:{FUNCTION}"
    raise UsageError(
        f'Cannot use "{source}" as code: expected src_code=sql:FUNCTION, src_code=FILE.py:FUNCTION or'
        " src_code=python:MODULE:FUNCTION (Perl is not run here)"
    )


def moment_of(text: str) -> str:
    """What `whenrun=` says. Raises UsageError naming the words there are."""
    if text.lower() == CONFLICT:
        return CONFLICT
    try:
        return str(hooks.moment(text))
    except ValueError as error:
        raise UsageError(f"Invalid whenrun: {error}, or {CONFLICT}") from error


def owners(topology: Topology, pairs: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[TableName, ...]]:
    """The syncs, and the tables, that `sync=` or `goat=` means. Raises UsageError, NotFound."""
    sync, goat = pairs.get("sync"), pairs.get("goat")
    if bool(sync) == bool(goat):
        raise UsageError("Say what it is for: sync=NAME, or goat=TABLE")
    if sync:
        if sync not in topology.syncs:
            raise NotFound(f'No such sync: "{sync}"')
        return (sync,), ()
    table = TableName.parse(str(goat))
    found = tuple(s.name for s in topology.syncs.values() if table in topology.herds[s.herd].tables)
    if not found:
        raise NotFound(f'No sync moves the table "{goat}"')
    return found, (table,)


def attached(topology: Topology, code: Code) -> Topology:
    """The topology with a piece of code more."""
    syncs = {name: _attached(topology.syncs[name], code) for name in code.syncs}
    return replace(topology, syncs={**topology.syncs, **syncs})


def _attached(sync: Sync, code: Code) -> Sync:
    if code.when != CONFLICT:
        tables = tuple(str(table) for table in code.tables)
        made = Hook(name=code.name, moment=hooks.moment(code.when), call=code.call, tables=tables)
        return replace(sync, hooks=(*(hook for hook in sync.hooks if hook.name != code.name), made))
    if not code.tables:
        return replace(sync, strategy=code.call)
    own = {**dict(sync.strategies), **dict.fromkeys(code.tables, code.call)}
    return replace(sync, strategies=tuple(sorted(own.items())))


def detached(topology: Topology, code: Code) -> Topology:
    """The topology without it; conflicts that it decided go to the later change."""
    syncs = {}
    for name in code.syncs:
        sync = topology.syncs[name]
        rest = tuple(hook for hook in sync.hooks if hook.name != code.name)
        own = tuple(pair for pair in sync.strategies if code.when != CONFLICT or pair[1] != code.call)
        rule = "latest" if code.when == CONFLICT and sync.strategy == code.call else sync.strategy
        syncs[name] = replace(sync, hooks=rest, strategies=own, strategy=rule)
    return replace(topology, syncs={**topology.syncs, **syncs})


def declared(topology: Topology, kept: Mapping[tuple[str, str], Mapping[str, str]]) -> list[Code]:
    """All code: the hooks of syncs, and the conflict code that was added by name (kept: what is remembered of it)."""
    found: dict[str, Code] = {}
    for sync in topology.syncs.values():
        for each in sync.hooks:
            before = found.get(each.name)
            syncs = (*(before.syncs if before else ()), sync.name)
            tables = tuple(TableName.parse(table) for table in each.tables)
            found[each.name] = Code(name=each.name, when=str(each.moment), call=each.call, syncs=syncs, tables=tables)
    for (noun, name), values in kept.items():
        if noun == "code" and values.get("whenrun") == CONFLICT:
            syncs = tuple(part for part in values["syncs"].split(",") if part in topology.syncs)
            tables = tuple(TableName.parse(part) for part in values["tables"].split(",") if part)
            found[name] = Code(name=name, when=CONFLICT, call=values["call"], syncs=syncs, tables=tables)
    return sorted(found.values(), key=lambda code: code.name)

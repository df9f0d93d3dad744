"""`replicator add|update|remove hook`: what a sync runs at moments of its runs. They belong to their sync."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import typer

from replicator import hook as hooks
from replicator.cli.objects import converge, given, named, with_value
from replicator.cli.session import Session
from replicator.cli.values import duration, names, table_names
from replicator.errors import AlreadyExists, UsageError
from replicator.hook import Hook, Moment
from replicator.model import Sync, Topology
from replicator.validate.functions import unloadable_here

Name = Annotated[str, typer.Argument(metavar="NAME")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...")]
OfSync = Annotated[str, typer.Option("--sync", metavar="SYNC", help="The sync that runs it.")]
WHEN = (
    "When: before_sync, before_check_rows, before_txn, before_rows, after_table_sync, after_rows, after_txn,"
    " after_sync or exception."
)
CALL = "What: sql:FUNCTION on the target, or python:MODULE:FUNCTION (a module, or a file's path) beside the daemon."
When = Annotated[str, typer.Option("--when", "--whenrun", metavar="MOMENT", help=WHEN)]
NewWhen = Annotated[str | None, typer.Option("--when", "--whenrun", metavar="MOMENT", help=WHEN)]
Call = Annotated[str, typer.Option("--call", metavar="FUNCTION", help=CALL)]
NewCall = Annotated[str | None, typer.Option("--call", metavar="FUNCTION", help=CALL)]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="TABLE", help="For batches with these tables only; '' for any; repeat."),
]
Within = Annotated[str | None, typer.Option("--timeout", metavar="TIME", help="How long it may take: 30s, 5m.")]


def add_hook(
    context: typer.Context,
    name: Name,
    sync: OfSync,
    when: When,
    call: Call,
    table: Tables = None,
    timeout: Within = None,
) -> None:
    """Have a sync run a function at a moment of its runs, after the hooks that it has for that moment."""
    current, owner = _owner(context.obj, sync)
    if any(hook.name == name for hook in owner.hooks):
        raise AlreadyExists(
            f"sync {sync} has a hook {name} already.", hint="Use `replicator update hook` to change it."
        )
    new = _loadable(Hook(name=name, moment=_moment(when), call=call, **_fields(table, timeout)))
    _store(context.obj, current, replace(owner, hooks=(*owner.hooks, new)))


def update_hook(
    context: typer.Context,
    name: Name,
    sync: OfSync,
    when: NewWhen = None,
    call: NewCall = None,
    table: Tables = None,
    timeout: Within = None,
) -> None:
    """Change a hook of a sync; what is not named stays as it is."""
    current, owner = _owner(context.obj, sync)
    before = named({hook.name: hook for hook in owner.hooks}, f"hook of sync {sync}", name)
    fields = given(moment=_moment(when) if when else None, call=call)
    after = _loadable(replace(before, **fields, **_fields(table, timeout)))
    _store(context.obj, current, replace(owner, hooks=tuple(after if h is before else h for h in owner.hooks)))


def remove_hook(context: typer.Context, words: Names, sync: OfSync) -> None:
    """Remove hooks of a sync."""
    current, owner = _owner(context.obj, sync)
    gone = set(names(words))
    for name in gone:
        named({hook.name: hook for hook in owner.hooks}, f"hook of sync {sync}", name)
    _store(context.obj, current, replace(owner, hooks=tuple(hook for hook in owner.hooks if hook.name not in gone)))


def _owner(session: Session, name: str) -> tuple[Topology, Sync]:
    current = session.catalog.topology()
    return current, named(current.syncs, "sync", name)


def _store(session: Session, current: Topology, sync: Sync) -> None:
    converge(session, with_value(current, sync))


def _loadable(hook: Hook) -> Hook:
    """The hook, if its function can be loaded here, where the daemon is. What an inventory declares is seen there."""
    if hook.python and (why := unloadable_here(*hook.python)):
        raise UsageError(f"hook {hook.name}: {hook.call}: {why}; correct it.")
    return hook


def _moment(text: str) -> Moment:
    try:
        return hooks.moment(text)
    except ValueError as error:
        raise UsageError(f"--when: {error}.") from error


def _fields(tables: list[str] | None, timeout: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if tables is not None:
        found["tables"] = tuple(str(table) for table in table_names(word for word in tables if word))
    if timeout is not None:
        found["seconds"] = (duration(timeout) or timedelta()).total_seconds()
    return found

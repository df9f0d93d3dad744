"""`replicator conflicts`: what the masters of swaps decided; look at it, count it, bring a loser back."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from replicator import ledger
from replicator.cli import output, values
from replicator.cli.session import Json, Session
from replicator.cli.syncs import named
from replicator.conflict import named as named_strategy
from replicator.conflict import unknown
from replicator.errors import ReplicatorError, UsageError
from replicator.ledger import Conflict, Filters, Side
from replicator.ledger.entry import MERGED, NEITHER
from replicator.ledger.trying import Ending
from replicator.model import Strategy, SyncType, Topology

conflicts = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Conflicts of swaps: who won, who lost, and why."
)

Some = Annotated[list[str] | None, typer.Argument(metavar="SYNC", help="Names of swaps; all when none is given.")]
One = Annotated[str, typer.Argument(metavar="NODE:NUMBER", help="As `conflicts list` names it.")]
Whose = Annotated[
    str, typer.Option("--node", metavar="NODE", help="Whose row, where both have lost: they were merged, or left.")
]
Table = Annotated[str | None, typer.Option(metavar="TABLE", help="Only of this table: name or schema.name.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only what was decided since: 2h, 30d, or a time (UTC).")
]
Key = Annotated[
    list[str] | None, typer.Option(metavar="KEY", help="Only of this key: a value, or column=value; repeatable.")
]
Limit = Annotated[int, typer.Option(metavar="N", min=1, help="The newest so many.")]
Age = Annotated[str, typer.Option(metavar="AGE", help="How long ago they were decided, for example 30d.")]
By = Annotated[
    str,
    typer.Option(
        metavar="STRATEGY",
        help="What would decide: latest, source, target, random, skip, databases in order, sql:... or python:....",
    ),
]


NO_ROWS = "Both sides deleted the row."

ENDINGS = {
    MERGED: "{node} merged both rows into a third by the rule {rule}.",
    NEITHER: "Neither won by the rule {rule}: each node has kept its row.",
}
"""How it ended, where no side won."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(conflicts, name="conflicts")


def _filters(session: Session, syncs: list[str] | None, table: str | None, since: str | None) -> Filters:
    names = values.table_names([table] if table else [])
    if len(names) > 1:
        raise UsageError(f"--table {table}: give one table.")
    chosen = named(session, syncs or [])
    for sync in chosen:
        if sync.type is not SyncType.SWAP:
            raise UsageError(f"sync {sync.name} is a {sync.type}: only a swap has conflicts.")
    return Filters(
        syncs=[sync.name for sync in chosen],
        table=names[0] if names else None,
        since=values.moment(since, datetime.now(UTC)) if since else None,
    )


def _tell(silent: Mapping[str, ReplicatorError]) -> int:
    """Say which masters are missing, and return the exit code that this stands for."""
    for name, error in silent.items():
        typer.echo(f"replicator: nothing is known of {name}: {error}", err=True)
    return max((error.exit_code for error in silent.values()), default=0)


@conflicts.command("list")
def list_conflicts(
    context: typer.Context,
    syncs: Some = None,
    table: Table = None,
    since: Since = None,
    key: Key = None,
    limit: Limit = 100,
    json: Json = False,
) -> int:
    """List conflicts, the newest first. Exit code 4 when a master does not answer."""
    session: Session = context.obj
    filters = replace(_filters(session, syncs, table, since), key=key or (), limit=limit)
    found = ledger.find(session.catalog.topology(), session.config.install, session.connector, filters)
    if json:
        output.dump([as_json(conflict) for conflict in found.conflicts])
    else:
        columns = ("Name", "Decided", "Sync", "Table", "Key", "Kind", "Winner", "Rule")
        output.table(columns, [_row(conflict) for conflict in found.conflicts], empty="No conflict is recorded.")
    return _tell(found.silent)


def _row(conflict: Conflict) -> tuple[object, ...]:
    return (
        conflict.name,
        _seconds(conflict.decided_at),
        conflict.sync,
        conflict.table,
        key_text(conflict),
        conflict.kind,
        conflict.ending,
        conflict.rule,
    )


def _seconds(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")


def key_text(conflict: Conflict) -> str:
    """Its key, short."""
    return ", ".join(f"{name}={shown(value)}" for name, value in conflict.key.items())


def shown(value: object) -> str:
    """A value of an image as JSON, every digit of it."""
    return str(value) if isinstance(value, Decimal) else json_format.dumps(value, ensure_ascii=False, default=str)


def as_json(conflict: Conflict, *, images: bool = False) -> dict[str, Any]:
    """A conflict as JSON shows it."""
    hidden = ("incoming", "local", "incoming_wins", "merges", *(() if images and conflict.merges else ("merged",)))
    facts = {name: value for name, value in vars(conflict).items() if name not in hidden}
    sides = {"incoming": _side(conflict.incoming, images), "local": _side(conflict.local, images)}
    return {"name": conflict.name, "kind": conflict.kind, "winner": conflict.ending, **facts, **sides}


def _side(side: Side, images: bool) -> dict[str, Any]:
    return {name: value for name, value in vars(side).items() if images or name != "row"}


@conflicts.command("show")
def show(context: typer.Context, name: One, json: Json = False) -> None:
    """Show both rows of one, and what a function made of them; differing columns are marked."""
    session: Session = context.obj
    conflict = ledger.show(session.catalog.topology(), session.config.install, session.connector, name)
    if json:
        output.dump(as_json(conflict, images=True))
        return
    typer.echo(f"{conflict.name}: sync {conflict.sync}, {conflict.table}, {key_text(conflict)}")
    typer.echo(f"{conflict.kind}, decided on {conflict.node} at {_seconds(conflict.decided_at)}")
    typer.echo(ENDINGS.get(conflict.ending, "{ending} won by the rule {rule}.").format(**_ending(conflict)))
    columns = ["", "Column", *(_heading(conflict, side) for side in conflict.sides)]
    output.table([*columns, "merged"] if conflict.merges else columns, list(_compared(conflict)), empty=NO_ROWS)
    if len(conflict.losers) > 1:
        nodes = " or ".join(side.node for side in conflict.losers)
        typer.echo(f"`replicator conflicts restore {conflict.name} --node {nodes}` brings one of them back.")


def _ending(conflict: Conflict) -> dict[str, str]:
    return {"ending": conflict.ending, "rule": conflict.rule, "node": conflict.node}


def _heading(conflict: Conflict, side: Side) -> str:
    at = side.at.isoformat(sep=" ", timespec="microseconds")
    if conflict.left:
        return f"{side.node}, {at} (kept)"
    return f"{side.node}, {at} ({'lost' if side in conflict.losers else 'won'})"


def _compared(conflict: Conflict) -> Iterator[tuple[str, ...]]:
    """Each column with its value on both sides, and in the merged row; the key's columns first."""
    rows = [side.row for side in conflict.sides]
    columns = sorted({name for row in rows for name in row or {}}, key=lambda name: (name not in conflict.key, name))
    for column in columns:
        cells = [shown(row[column]) if row and column in row else "deleted" for row in rows]
        mark = "*" if cells[0] != cells[1] else ""
        if conflict.merges:
            merged = conflict.merged or {}
            cells.append(shown(merged[column]) if column in merged else "adds up")
        yield mark, column, *cells


@conflicts.command("stats")
def stats(
    context: typer.Context, syncs: Some = None, table: Table = None, since: Since = None, json: Json = False
) -> int:
    """Count conflicts by sync, table, kind and winner, and by day. Exit code 4 when a master does not answer."""
    session: Session = context.obj
    filters = _filters(session, syncs, table, since)
    counted = ledger.stats(session.catalog.topology(), session.config.install, session.connector, filters)
    if json:
        groups = [{**group._asdict(), "conflicts": count} for group, count in counted.groups.items()]
        days = {day.isoformat(): count for day, count in counted.days.items()}
        output.dump({"total": counted.total, "groups": groups, "days": days})
    else:
        rows = [(*group, count) for group, count in counted.groups.items()]
        columns = ("Sync", "Table", "Kind", "Winner", "Conflicts")
        output.table(columns, rows, empty="No conflict is recorded.")
        if counted.days:
            typer.echo()
            output.table(("Day (UTC)", "Conflicts"), list(counted.days.items()), empty="")
    return _tell(counted.silent)


def _check_strategy(topology: Topology, text: str) -> None:
    """Raise UsageError unless it is a strategy that can be tried on what is recorded."""
    try:
        kind, names = named_strategy(text)
    except ValueError as error:
        raise UsageError(f"--strategy: {error}.") from error
    for name in names if kind is Strategy.ORDER else ():
        if name not in topology.databases:
            raise UsageError(f"--strategy {text}: {unknown(name, list(topology.databases))}.")


@conflicts.command("simulate")
def simulate(
    context: typer.Context,
    strategy: By,
    syncs: Some = None,
    table: Table = None,
    since: Since = None,
    limit: Limit = 100,
    json: Json = False,
) -> int:
    """Judge conflicts by another strategy: which end otherwise? Exit code 4 when a master does not answer."""
    session: Session = context.obj
    filters = replace(_filters(session, syncs, table, since), limit=limit)
    topology = session.catalog.topology()
    _check_strategy(topology, strategy)
    told = ledger.simulate(topology, session.config.install, session.connector, strategy, filters)
    if json:
        changes = [
            {**as_json(conflict), "instead": ending.word, "why": ending.why} for conflict, ending in told.changes
        ]
        counts = {"total": told.total, "changed": told.changed, "unknown": told.unknown}
        output.dump({"strategy": strategy, **counts, "changes": changes})
        return _tell(told.silent)
    typer.echo(f"By the strategy {strategy}, {told.changed} of {told.total} conflicts would have ended otherwise.")
    if told.unknown:
        typer.echo(f"{told.unknown} cannot be judged: their sync or a node of theirs is no longer declared.")
    if told.changes:
        columns = ("Name", "Decided", "Sync", "Table", "Key", "Kind", "Winner", "Rule", "Instead")
        rows = [(*_row(conflict), _instead(ending)) for conflict, ending in told.changes]
        output.table(columns, rows, empty="")
    return _tell(told.silent)


def _instead(ending: Ending) -> str:
    return f"{ending.word}: {ending.why}" if ending.why else ending.word


@conflicts.command("restore")
def restore(context: typer.Context, name: One, node: Whose = "") -> None:
    """Write a loser's row again, as a new change.

    It is written on the node that decided, as an application would, and travels like any other change.
    """
    session: Session = context.obj
    done = ledger.restore(session.catalog.topology(), session.config.install, session.connector, name, node)
    conflict = done.conflict
    row = f"{conflict.table} {key_text(conflict)}"
    if not done.did:
        typer.echo(f"Nothing to restore: {row} on {conflict.node} is as {done.side.node} had left it.")
        return
    typer.echo(f"Restored {name}: {done.did} {row} on {conflict.node}. Sync {conflict.sync} takes it on.")
    if done.before:
        typer.echo("There was before:")
        for column, value in done.before.items():
            typer.echo(f"  {column} = {shown(value)}")


@conflicts.command("prune")
def prune(context: typer.Context, older_than: Age) -> int:
    """Remove old conflicts from the ledger of every master. Exit code 4 when one does not answer."""
    session: Session = context.obj
    age = values.duration(older_than)
    if age is None:
        raise UsageError(f"--older-than {older_than}: give an age, for example 30d.")
    topology = session.catalog.topology()
    answers = ledger.prune_all(topology, session.config.install, session.connector, age)
    removed = ", ".join(f"{count} on {node}" for node, count in answers.given.items()) or "there are no masters"
    typer.echo(f"Removed conflicts decided more than {older_than} ago: {removed}.")
    return _tell(answers.silent)

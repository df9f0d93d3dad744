"""`replicator parked`: the keys that targets refused: list them, look at one, try them again, forget them."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from replicator import repair
from replicator.cli import output
from replicator.cli.session import Json, Session
from replicator.cli.syncs import named
from replicator.errors import UsageError
from replicator.repair import Parked

parked = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Rows that a target refused.")

Some = Annotated[list[str] | None, typer.Argument(metavar="SYNC", help="Names of syncs; all when none is given.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="TARGET:NUMBER", help="As `parked list` names them.")]
One = Annotated[str, typer.Argument(metavar="TARGET:NUMBER", help="As `parked list` names it.")]
OfSync = Annotated[str | None, typer.Option("--all-of", metavar="SYNC", help="All that are parked of this sync.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(parked, name="parked")


@parked.command("list")
def list_parked(context: typer.Context, syncs: Some = None, json: Json = False) -> int:
    """List what is parked. Exit code 4 when a target does not answer."""
    session: Session = context.obj
    names = [sync.name for sync in named(session, syncs or [])]
    found = repair.find(session.catalog.topology(), session.config.install, session.connector, names)
    if json:
        output.dump([as_json(row) for row in found.parked])
    else:
        columns = ("Name", "Sync", "Table", "Key", "Since", "Attempts", "State", "Error")
        output.table(columns, [_row(row) for row in found.parked], empty="Nothing is parked.")
    for name, error in found.silent.items():
        typer.echo(f"replicator: nothing is known of {name}: {error}", err=True)
    return max((error.exit_code for error in found.silent.values()), default=0)


def _row(row: Parked) -> tuple[object, ...]:
    error = f"{row.error} ({row.sqlstate})"
    return row.name, row.sync, row.table, key(row), _since(row), row.attempts, state(row), error


def _since(row: Parked) -> str:
    return row.first_at.isoformat(sep=" ", timespec="seconds")


def state(row: Parked) -> str:
    """What becomes of it."""
    return "tried with the next batch" if row.retry else "waits"


def key(row: Parked) -> str:
    """Its key, short."""
    return ", ".join(f"{name}={json_format.dumps(value, ensure_ascii=False)}" for name, value in row.key.items())


def as_json(row: Parked) -> dict[str, Any]:
    """A parked key as JSON shows it."""
    return {"name": row.name, **vars(row)}


@parked.command("show")
def show(context: typer.Context, name: One, json: Json = False) -> None:
    """Show one with the row that was refused."""
    session: Session = context.obj
    row = repair.show(session.catalog.topology(), session.config.install, session.connector, name)
    if json:
        output.dump(as_json(row))
        return
    typer.echo(f"{row.name}: sync {row.sync}, {row.table} from {row.source}")
    typer.echo(f"key:       {key(row)}")
    typer.echo(f"error:     {row.error} (SQLSTATE {row.sqlstate})")
    typer.echo(
        f"since:     {row.first_at.isoformat(sep=' ', timespec='seconds')}, attempts: {row.attempts}, {state(row)}"
    )
    typer.echo("row:       deleted on the source" if row.row is None else "row:")
    for column, value in (row.row or {}).items():
        typer.echo(f"  {column} = {json_format.dumps(value, ensure_ascii=False)}")


@parked.command("retry")
def retry(context: typer.Context, names: Names = None, all_of: OfSync = None) -> None:
    """Read rows from the source again and write them, at once when the daemon runs."""
    session: Session = context.obj
    topology = session.catalog.topology()
    rows = repair.retry(topology, session.config.install, session.connector, _chosen(session, names, all_of))
    for sync in dict.fromkeys(row.sync for row in rows):
        session.catalog.kick(sync)
    when = (
        "with the next batch" if session.catalog.locked("master") else "when the daemon, which is stopped, is started"
    )
    typer.echo(f"To be tried {when}: {_listed(rows)}.")


@parked.command("drop")
def drop(context: typer.Context, names: Names = None, all_of: OfSync = None) -> None:
    """Forget rows: the target keeps what it has of them until they next change on the source."""
    session: Session = context.obj
    topology = session.catalog.topology()
    rows = repair.drop(topology, session.config.install, session.connector, _chosen(session, names, all_of))
    typer.echo(f"Forgotten: {_listed(rows)}. `replicator verify` shows where they differ.")


def _chosen(session: Session, names: Sequence[str] | None, all_of: str | None) -> list[str]:
    """The names given, or those of a sync. Raises UsageError when there are none."""
    if bool(names) == bool(all_of):
        raise UsageError("name parked rows (as `replicator parked list` shows them), or give --all-of SYNC.")
    if names:
        return list(dict.fromkeys(names))
    (sync,) = named(session, [str(all_of)])
    found = repair.find(session.catalog.topology(), session.config.install, session.connector, [sync.name])
    for error in found.silent.values():
        raise error
    if not found.parked:
        raise UsageError(f"nothing is parked of sync {sync.name}.")
    return [row.name for row in found.parked]


def _listed(rows: Sequence[Parked]) -> str:
    return ", ".join(row.name for row in rows)

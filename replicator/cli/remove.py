"""`replicator remove`: take back what is declared, with the triggers, logs and positions that it had on the nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from replicator import topology
from replicator.cli import hooks
from replicator.cli.objects import converge, named, tell, without
from replicator.cli.session import Session
from replicator.cli.tables import reduced
from replicator.cli.values import names, table_names
from replicator.cli.words import Nouns, Words
from replicator.errors import NotFound
from replicator.model import TableName

remove = typer.Typer(cls=Nouns, rich_markup_mode=None, help="Remove what was added. Users of a thing go before it.")

Names = Annotated[list[str], typer.Argument(metavar="NAME...")]
InHerd = Annotated[str | None, typer.Option("--herd", help="Out of this herd only.", show_default="all herds")]
Places = Annotated[list[str] | None, typer.Argument(metavar="[DB]...", help="Nodes; all if none is named.")]
Forget = Annotated[bool, typer.Option("--forget", help="Drop the notes without cleaning: the node is gone for good.")]


remove.command("hook", cls=Words)(hooks.remove_hook)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(remove, name="remove")


def _remove(context: typer.Context, noun: str, words: list[str]) -> None:
    session: Session = context.obj
    converge(session, without(session.catalog.topology(), noun, list(names(words))))


@remove.command("db", cls=Words)
def remove_db(context: typer.Context, databases: Names) -> None:
    """Remove databases."""
    _remove(context, "database", databases)


@remove.command("dbgroup", cls=Words)
def remove_dbgroup(context: typer.Context, dbgroups: Names) -> None:
    """Remove dbgroups; their databases stay."""
    _remove(context, "dbgroup", dbgroups)


@remove.command("herd", cls=Words)
def remove_herd(context: typer.Context, herds: Names) -> None:
    """Remove herds; their tables stay."""
    _remove(context, "herd", herds)


@remove.command("sync", cls=Words)
def remove_sync(context: typer.Context, syncs: Names) -> None:
    """Remove syncs, once their controllers have stopped, with their triggers, logs and positions."""
    _remove(context, "sync", syncs)


@remove.command("table", cls=Words)
def remove_table(context: typer.Context, tables: Names, herd: InHerd = None) -> None:
    """Remove tables from a herd, or from all; the tables themselves stay."""
    _reduce(context.obj, herd, "table", table_names(tables))


@remove.command("sequence", cls=Words)
def remove_sequence(context: typer.Context, sequences: Names, herd: InHerd = None) -> None:
    """Remove sequences from a herd, or from all; the sequences themselves stay."""
    _reduce(context.obj, herd, "sequence", table_names(sequences))


def _reduce(session: Session, only: str | None, kind: str, unwanted: tuple[TableName, ...]) -> None:
    current = session.catalog.topology()
    herds = {only: named(current.herds, "herd", only)} if only else dict(current.herds)
    listed = {name for herd in herds.values() for name in getattr(herd, f"{kind}s")}
    if missing := [str(name) for name in unwanted if name not in listed]:
        place = f"herd {only} lists" if only else "no herd lists"
        raise NotFound(f"{place} {'no' if only else 'a'} {kind} {', '.join(missing)}.")
    smaller = {name: reduced(herd, kind, unwanted, strict=False) for name, herd in herds.items()}
    converge(session, replace(current, herds={**current.herds, **smaller}))


@remove.command("leftovers", cls=Words)
def remove_leftovers(context: typer.Context, databases: Places = None, forget: Forget = False) -> None:
    """Clean up what removed syncs left on nodes that did not answer then."""
    session: Session = context.obj
    wanted = names(databases or ())
    mine = [left for left in session.catalog.leftovers() if not wanted or left.database.name in wanted]
    if forget:
        for leftover in mine:
            session.catalog.remove_leftover(leftover.id)
    else:
        topology.clean(session.catalog, session.connector, tell)
    still = {left.id for left in session.catalog.leftovers()}
    typer.echo(f"Cleaned up {sum(left.id not in still for left in mine)} of {len(mine)} leftovers.")

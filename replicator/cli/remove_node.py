"""`replicator remove-node`: take a database out of a sync or a dbgroup, and clean up what the sync had on it."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator import topology
from replicator.cli.objects import DONE, tell
from replicator.cli.session import Session
from replicator.errors import ReplicatorError, Unreachable
from replicator.model import Sync, Topology
from replicator.postgres import translated
from replicator.topology.members import affected, without_node

Place = Annotated[str, typer.Argument(metavar="SYNC|DBGROUP")]
Node = Annotated[str, typer.Argument(metavar="DATABASE", help="A member, by its nickname.")]
Force = Annotated[
    bool, typer.Option("--force", help="Even if it does not answer, or holds changes that the others do not have.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("remove-node")(remove_node)


def remove_node(context: typer.Context, place: Place, database: Node, force: Force = False) -> None:
    """Take a database out of a sync or a dbgroup; its rows stay, triggers, logs and positions go.

    Refused while it does not answer, or holds changes that the others do not have, unless forced.
    """
    session: Session = context.obj
    current = session.catalog.topology()
    syncs = affected(current, place)
    # What a command that was killed has begun is taken back by the next one, and then done.
    goes_on = topology.unfinished(session.catalog, database)
    desired = current if goes_on else without_node(current, place, database)
    if not force:
        _check_answers(session, current, database)
    plan = topology.changes(current, desired)
    topology.apply(session.catalog, session.connector, plan, tell, force=force)
    for change in plan:
        typer.echo(f"{DONE[change.kind]} {change.object}.")
        typer.echo("\n".join(f"  {line}" for line in change.diff))
    _tell_of_leads(current, desired, syncs)
    _tell_of_leftovers(session, database)


def _check_answers(session: Session, current: Topology, database: str) -> None:
    node = current.databases[database]
    try:
        with session.connector.open(node, "cli", autocommit=True) as connection, translated(str(node)):
            connection.execute("select")
    except ReplicatorError as error:
        raise Unreachable(
            f"{error}", hint="If it is gone for good, or will be wiped: give the command again with --force."
        ) from error


def _tell_of_leads(current: Topology, desired: Topology, syncs: list[Sync]) -> None:
    for sync in syncs:
        before, after = current.herds[sync.herd].database, desired.herds[sync.herd].database
        if before != after:
            typer.echo(f"Herd {sync.herd} lives on {after} now: masters that come are filled from there.")


def _tell_of_leftovers(session: Session, database: str) -> None:
    left = [one for one in session.catalog.leftovers() if one.database.name == database]
    if not left:
        typer.echo(f"Nothing of it is left on {database}.")
        return
    for one in left:
        what = f"positions on {one.source}" if one.source else "triggers and change logs"
        typer.echo(f"Left on {database}: {what} of sync {one.sync} ({one.error or 'not tried yet'}).")
    typer.echo(
        f"When it answers again, `replicator remove leftovers {database}` cleans up;"
        " if it is gone for good, add --forget."
    )

"""`replicator status`: how the syncs stand, as a table, as details of one sync, live, or as JSON.

What is shown is gathered by `replicator.status` and drawn by `status_page`.
"""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

from replicator.catalog import Catalog
from replicator.cli.session import Json, Session
from replicator.cli.syncs import named
from replicator.errors import UsageError
from replicator.status import Overview, overview

OneSync = Annotated[str | None, typer.Argument(metavar="[SYNC]", help="Show the details of this sync.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show it live, until Ctrl-C.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(context: typer.Context, sync: OneSync = None, watch: Watch = False, json: Json = False) -> None:
    """Show how the syncs stand: state, lag, last runs, errors."""
    session: Session = context.obj
    if watch and json:
        raise UsageError("--watch and --json exclude each other.")
    only = [one.name for one in named(session, [sync])] if sync else []
    if json:
        typer.echo(json_format.dumps(overview(session.catalog, session.connector, only).json, indent=2))
        return
    from replicator.cli import status_page  # noqa: PLC0415  (JSON needs no rich)

    if watch:
        status_page.watch(lambda: _now(session, only), detailed=bool(only))
    else:
        status_page.show(overview(session.catalog, session.connector, only), detailed=bool(only))


def _now(session: Session, only: list[str]) -> Overview:
    """As it is now, by a connection of its own: one that was lost is no reason to stop watching."""
    with Catalog.open(session.connector, "status") as catalog:
        return overview(catalog, session.connector, only)

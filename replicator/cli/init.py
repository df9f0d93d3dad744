"""`replicator init`: create the catalog's schema in its database, or bring it up to date."""

from __future__ import annotations

import typer

from replicator.catalog import Catalog
from replicator.cli.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(context: typer.Context) -> None:
    """Create the catalog's schema, or bring it up to date. The database itself must exist."""
    session: Session = context.obj
    if Catalog.init(session.connector):
        typer.echo("The catalog is ready.")
    else:
        typer.echo("The catalog is ready; nothing had to be changed.")

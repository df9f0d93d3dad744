"""What the commands on running syncs share: which syncs were named."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator.cli.session import Session
from replicator.errors import NotFound
from replicator.model import Sync

Syncs = Annotated[list[str], typer.Argument(metavar="SYNC...", help="Names of syncs.")]


def named(session: Session, names: list[str]) -> list[Sync]:
    """The syncs of those names, without repeats. Raises NotFound for all unknown ones at once."""
    declared = session.catalog.topology().syncs
    unknown = [name for name in dict.fromkeys(names) if name not in declared]
    if unknown:
        known = ", ".join(sorted(declared)) or "none"
        raise NotFound("\n".join(f"no sync is called {name!r}; known: {known}" for name in unknown))
    return [declared[name] for name in dict.fromkeys(names)]

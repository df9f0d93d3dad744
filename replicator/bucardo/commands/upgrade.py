"""`bucardo_ctl upgrade`: brings the catalog's schema to this program's version."""

from __future__ import annotations

from replicator.bucardo.session import Session
from replicator.catalog import Catalog


def run(session: Session) -> None:
    """Migrate the catalog; its table `migration` says when it went through what."""
    if Catalog.init(session.connector):
        session.say("Okay, the upgrade is complete.")
    else:
        session.say("No upgrade was necessary: everything is up to date.")

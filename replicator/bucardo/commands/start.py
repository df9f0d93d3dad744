"""`bucardo_ctl start`."""

from __future__ import annotations

from replicator.bucardo import lifecycle
from replicator.bucardo.session import Session


def run(session: Session) -> None:
    """Start the daemon; the words are the reason."""
    lifecycle.start(session, session.line.words)

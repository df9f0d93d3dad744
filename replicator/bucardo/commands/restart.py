"""`bucardo_ctl restart`."""

from __future__ import annotations

from replicator.bucardo import lifecycle
from replicator.bucardo.session import Session


def run(session: Session) -> None:
    """Stop the daemon and start it; the words are the reason."""
    lifecycle.stop(session, session.line.words, "restart")
    lifecycle.start(session, session.line.words, "restart")

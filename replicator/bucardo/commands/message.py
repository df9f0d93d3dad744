"""`bucardo_ctl message`: writes a note into the daemon's log."""

from __future__ import annotations

from replicator import logs
from replicator.bucardo.session import Session
from replicator.errors import UsageError
from replicator.logs import log


def run(session: Session) -> None:
    """Append it, whether or not the daemon runs."""
    text = " ".join([*session.line.words, *(f"{name}={value}" for name, value in session.line.pairs.items())])
    if not text:
        raise UsageError("Usage: message TEXT")
    logs.set_up(session.config.log_file, "message", master=False, echo=False)
    log.info("%s", text)

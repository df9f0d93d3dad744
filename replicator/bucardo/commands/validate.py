"""`bucardo_ctl validate`: asks the servers whether syncs can work on them."""

from __future__ import annotations

from replicator import validate
from replicator.bucardo import naming
from replicator.bucardo.session import Failed, Session
from replicator.errors import InvalidTopology, UsageError


def run(session: Session) -> None:
    """Look at each; exit code 1 when one cannot."""
    if not session.line.words:
        raise UsageError("Usage: validate SYNC...|all")
    bad = False
    for sync in naming.syncs(session, session.line.words):
        session.say(f"Validating sync {sync.name}...", end="")
        try:
            validate.check(session.topology, session.connector, [sync.name])
        except InvalidTopology as error:
            session.say("FAILED!")
            print(error)
            bad = True
        else:
            session.say(".DONE!")
    if bad:
        raise Failed(1)

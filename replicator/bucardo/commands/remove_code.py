"""`bucardo_ctl remove customcode`."""

from __future__ import annotations

from replicator.bucardo.codes import declared, detached
from replicator.bucardo.declaring import converge
from replicator.bucardo.session import Session, missing


def remove(session: Session, names: tuple[str, ...]) -> None:
    """Take code away from the syncs that run it. Raises NotFound, nothing being removed then."""
    current = session.topology
    found = {code.name: code for code in declared(current, session.catalog.habits())}
    for name in names:
        if name not in found:
            raise missing("customcode", name)
        current = detached(current, found[name])
    converge(session, current)
    for name in names:
        session.catalog.forget_habits("code", name)
        session.say(f'Removed customcode "{name}"')

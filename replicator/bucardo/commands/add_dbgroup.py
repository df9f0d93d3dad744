"""`bucardo_ctl add dbgroup`: names a list of databases, for use as targets."""

from __future__ import annotations

from replicator.bucardo.declaring import converge, existing, new, reject_unknown
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.session import Session
from replicator.model import DbGroup


def add(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Add a group with its members."""
    reject_unknown(session.line.pairs, (), "dbgroup")
    name, *rest = words
    members = duplicate_free(rest)
    current = session.topology
    for member in members:
        existing(current, "db", member)
    converge(session, new(current, "dbgroup", DbGroup(name=name, members=members)))
    for member in members:
        session.say(f'Added database "{member}" to group "{name}"')
    session.say(f'Added database group "{name}"')

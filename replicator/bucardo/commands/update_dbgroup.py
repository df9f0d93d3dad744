"""`bucardo_ctl update dbgroup G add|remove DB ...`."""

from __future__ import annotations

from dataclasses import replace

from replicator.bucardo.declaring import converge, existing, with_value
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.grouping import grouped
from replicator.bucardo.session import Session
from replicator.errors import UsageError
from replicator.model import DbGroup


def update(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Let databases join or leave a group."""
    if len(words) < 3 or words[1].lower() not in ("add", "remove") or session.line.pairs:
        raise UsageError("Usage: update dbgroup NAME add|remove DB ...")
    name, verb, *rest = words
    current = session.topology
    group: DbGroup = existing(current, "dbgroup", name)
    said: list[str] = []
    for member in duplicate_free(rest):
        existing(current, "db", member)
        if verb.lower() == "add":
            current, more = grouped(current, name, member)
            said += more
            continue
        if member not in group.members:
            raise UsageError(f'Database "{member}" is not in group "{name}"')
        group = replace(group, members=tuple(other for other in group.members if other != member))
        current = with_value(current, group)
        said.append(f'Removed database "{member}" from group "{name}"')
    converge(session, current)
    session.say("\n".join(said))

"""`bucardo_ctl update herd H add|remove TABLE ...`."""

from __future__ import annotations

from replicator.bucardo import goats
from replicator.bucardo.declaring import converge, existing, with_value
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.herds import with_rules
from replicator.bucardo.session import Session
from replicator.cli.tables import extended, reduced
from replicator.errors import UsageError
from replicator.model import Herd


def update(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Let tables join or leave a herd."""
    if len(words) < 3 or words[1].lower() not in ("add", "remove") or session.line.pairs:
        raise UsageError("Usage: update herd NAME add|remove TABLE ...")
    name, verb, *rest = words
    current = session.topology
    herd: Herd = existing(current, "herd", name)
    found = goats.found(session, duplicate_free(rest), herd.database)
    adds = verb.lower() == "add"
    for kind in ("table", "sequence"):
        mine = [goat.table for goat in found if goat.kind == kind]
        herd = extended(herd, kind, mine) if adds else reduced(herd, kind, mine)
    converge(session, with_rules(with_value(current, herd), found))
    for goat in found:
        session.catalog.add_goat(goat)
        done = "Added" if adds else "Removed"
        session.say(f'{done} {goat.kind} "{goats.spelt(goat)}" {"to" if adds else "from"} herd "{name}"')

"""`bucardo_ctl add herd`: names a list of tables that are replicated together."""

from __future__ import annotations

from replicator.bucardo import goats
from replicator.bucardo.declaring import converge, new, reject_unknown
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.session import Session
from replicator.errors import UsageError
from replicator.model import Herd


def add(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Add a herd of tables that are known, or that its database has."""
    reject_unknown(session.line.pairs, ("db", "database"), "herd")
    name, *rest = words
    members = duplicate_free(rest)
    db = session.line.given("db") or session.line.given("database")
    found = goats.found(session, members, db) if members else []
    if len({goat.db for goat in found}) > 1:
        raise UsageError(
            f"The tables of a herd must be of one database, not of {', '.join(sorted({g.db for g in found}))}"
        )
    database = goats.one_database(session, found[0].db if found else db)
    herd = Herd(
        name=name,
        database=database.name,
        tables=tuple(goat.table for goat in found if goat.kind == "table"),
        sequences=tuple(goat.table for goat in found if goat.kind == "sequence"),
    )
    converge(session, new(session.topology, "herd", herd))
    for goat in found:
        session.catalog.add_goat(goat)
    session.say(f'Added herd "{name}"')
    for goat in found:
        session.say(f'Added {goat.kind} "{goats.spelt(goat)}" to herd "{name}"')

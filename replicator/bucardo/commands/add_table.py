"""`bucardo_ctl add table` and `add sequence`: make relations known, and put them into a herd if one is named."""

from __future__ import annotations

from collections.abc import Mapping

from replicator.bucardo import goats
from replicator.bucardo.declaring import reject_unknown
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.herds import put
from replicator.bucardo.session import Session
from replicator.bucardo.syncs import kept
from replicator.catalog import Goat
from replicator.errors import UsageError
from replicator.postgres import translated

IDLE = (
    *("analyze_after_copy", "autokick", "customselect", "delta_bypass", "delta_bypass_count", "delta_bypass_min"),
    *("delta_bypass_percent", "ghost", "has_delta", "makedelta", "ping", "pkey", "rebuild_index", "strict_checking"),
)
"""Options of a table that are kept and shown; those that act on rows are the sync's here."""

KNOWN = ("db", "database", "herd", "standard_conflict", "status", *IDLE)


def add(session: Session, noun: str, words: tuple[str, ...]) -> None:
    """Add them. Raises NotFound for those that the database does not have, nothing being added then."""
    pairs = session.line.pairs
    reject_unknown(pairs, KNOWN, noun)
    conflict = goats.conflict_of(pairs.get("standard_conflict"), noun)
    database = goats.one_database(session, session.line.given("db") or pairs.get("database"))
    with session.connector.open(database, "ctl", autocommit=True) as connection, translated(str(database)):
        names = goats.chosen(connection, database, duplicate_free(words), noun)
        described = goats.described(connection, database.name, dict.fromkeys(names, noun), conflict)
    known = {(goat.db, goat.table) for goat in goats.all_goats(session)}
    if old := [goats.spelt(goat) for goat in described if (goat.db, goat.table) in known]:
        raise UsageError(f"Cannot add: the {noun} {', '.join(old)} is known already")
    herd = session.line.given("herd")
    made = put(session, herd, database.name, described) if herd else []
    for goat in described:
        session.catalog.add_goat(goat)
        keep(session, goat, pairs)
        session.say(f'Added {noun} "{goats.spelt(goat)}"')
    for sentence in made:
        session.say(sentence)


def keep(session: Session, goat: Goat, pairs: Mapping[str, str]) -> None:
    """Keep the options of a table that have no effect."""
    options = {name: kept(name, pairs[name]) for name in IDLE if name in pairs}
    session.keep(goat.kind, goats.habit_name(goat), options)

"""`bucardo_ctl update table` and `update sequence`: who wins their conflicts, and what is kept of them."""

from __future__ import annotations

from replicator.bucardo import goats
from replicator.bucardo.commands.add_table import IDLE, keep
from replicator.bucardo.commands.update import say_changes
from replicator.bucardo.declaring import reject_unknown
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.session import Session
from replicator.errors import UsageError


def update(session: Session, noun: str, words: tuple[str, ...]) -> None:
    """Change options of the relations that words mean; running swaps follow a new standard_conflict."""
    pairs = session.line.pairs
    reject_unknown(pairs, ("db", "standard_conflict", *IDLE), noun)
    if not pairs.keys() - {"db"}:
        raise UsageError(f"Usage: update {noun} NAME ... name=value ...")
    conflict = goats.conflict_of(pairs.get("standard_conflict"), noun)
    for goat in goats.known(session, duplicate_free(words), noun, session.line.given("db")):
        session.catalog.add_goat(goat)
        kept = session.catalog.habits().get((noun, goats.habit_name(goat)), {})
        before: dict[str, object] = {"standard_conflict": goat.conflict, **kept}
        keep(session, goat, pairs)
        after: dict[str, object] = {**before, **session.catalog.habits().get((noun, goats.habit_name(goat)), {})}
        if "standard_conflict" in pairs:
            session.catalog.set_conflict(goat.db, goat.table, conflict)
            after["standard_conflict"] = conflict
        say_changes(session, noun, goats.spelt(goat), before, after)

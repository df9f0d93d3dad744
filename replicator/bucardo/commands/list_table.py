"""`bucardo_ctl list tables` and `list sequences`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.bucardo import goats
from replicator.bucardo.commands.listing import columns, matching, width
from replicator.bucardo.session import Session

LABELS = {"table": "Table", "sequence": "Sequence"}


def show(session: Session, noun: str, words: Sequence[str]) -> Iterator[str]:
    """A line for each table with its database and key, for each sequence with its database."""
    topology = session.topology
    known = [goat for goat in goats.all_goats(session) if goat.kind == noun]
    known.sort(key=lambda g: (g.table, g.db))
    found = matching(known, words, goats.spelt, lambda g: g.table.name)
    wide, places = width(map(goats.spelt, found)), width(goat.db for goat in found)
    for goat in found:
        line = f"{LABELS[noun]}: {goats.spelt(goat):<{wide}}  DB: {goat.db:<{places}}"
        yield f"{line}  PK: {goats.key_text(goat)}" if noun == "table" else line.rstrip()
        herds = [herd for herd in topology.herds.values() if herd.database == goat.db and goat.table in herd.tables]
        if session.line.verbosity and herds:
            yield f"  Belongs to herds: {', '.join(sorted(herd.name for herd in herds))}"
            syncs = sorted(s.name for s in topology.syncs.values() if s.herd in {herd.name for herd in herds})
            if syncs:
                yield f"  Used in syncs: {', '.join(syncs)}"
        if session.line.verbosity > 1:
            kept = session.catalog.habits().get((noun, goats.habit_name(goat)), {})
            yield from columns({"standard_conflict": goat.conflict, "db": goat.db, "reltype": goat.kind, **kept})

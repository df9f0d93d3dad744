"""`bucardo_ctl list herds`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.bucardo.commands.listing import matching, width
from replicator.bucardo.session import Session


def show(session: Session, _noun: str, words: Sequence[str]) -> Iterator[str]:
    """A line for each herd with its database and members, and one with the syncs that move it."""
    topology = session.topology
    found = matching(sorted(topology.herds.values(), key=lambda h: h.name), words, lambda h: h.name)
    wide, places = width(herd.name for herd in found), width(herd.database for herd in found)
    for herd in found:
        members = ", ".join(f"{m.schema}.{m.name}" for m in (*herd.tables, *herd.sequences))
        shown = f"  Members: {members}" if members else ""
        yield f"Herd: {herd.name:<{wide}}  DB: {herd.database:<{places}}{shown}".rstrip()
        syncs = sorted(sync.name for sync in topology.syncs.values() if sync.herd == herd.name)
        if syncs:
            yield f"  Used in syncs: {', '.join(syncs)}"

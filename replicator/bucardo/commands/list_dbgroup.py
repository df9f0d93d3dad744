"""`bucardo_ctl list dbgroups`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.bucardo.commands.listing import matching, width
from replicator.bucardo.session import Session


def show(session: Session, _noun: str, words: Sequence[str]) -> Iterator[str]:
    """A line for each group with its members."""
    topology = session.topology
    found = matching(sorted(topology.dbgroups.values(), key=lambda g: g.name), words, lambda g: g.name)
    wide = width(group.name for group in found)
    for group in found:
        yield f"Database group: {group.name:<{wide}}  Members: {', '.join(sorted(group.members))}"
        syncs = sorted(sync.name for sync in topology.syncs.values() if group.name in sync.targets)
        if session.line.verbosity and syncs:
            yield f"  Used in syncs: {', '.join(syncs)}"

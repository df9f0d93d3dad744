"""`bucardo_ctl list customcode`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.bucardo.codes import declared
from replicator.bucardo.commands.listing import matching, width
from replicator.bucardo.session import Session


def show(session: Session, _noun: str, words: Sequence[str]) -> Iterator[str]:
    """A line for each piece: when it runs, for which syncs, and what it calls."""
    found = matching(declared(session.topology, session.catalog.habits()), words, lambda code: code.name)
    wide, moments = width(code.name for code in found), width(code.when for code in found)
    for code in found:
        line = f"Code: {code.name:<{wide}}  When run: {code.when:<{moments}}  Syncs: {', '.join(code.syncs)}"
        tables = f"  Tables: {', '.join(f'{t.schema}.{t.name}' for t in code.tables)}" if code.tables else ""
        yield f"{line}{tables}  Calls: {code.call}"

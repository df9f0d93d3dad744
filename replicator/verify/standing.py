"""Sequences compared: a target's must stand where the source's stood at some moment of the comparison.

A sequence has no log, so there is nothing to tell a change on its way from a difference but time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from replicator.model import Link, TableName
from replicator.relations import describe
from replicator.sequences import oneway
from replicator.signals import Stop
from replicator.verify.compare import TableComparison, Verdict
from replicator.verify.flight import Ends

POLL = 0.1


def compare_sequences(ends: Ends, names: Sequence[TableName], stop: Stop, deadline: float) -> list[TableComparison]:
    """Compare the sequences of a link that carries them; those that differ again until the deadline."""
    present = describe(ends.source, names).keys() & describe(ends.target, names).keys()
    found = {name: _result(ends.link, name, Verdict.DIFFERS, "it does not exist on both") for name in names}
    left = [name for name in names if name in present]
    first = oneway.read(ends.source, left)
    while left:
        there = oneway.read(ends.target, left)
        now = oneway.read(ends.source, left)
        for name in list(left):
            ours, theirs = (first[name], now[name]), there[name]
            if min(ours) <= theirs <= max(ours):
                left.remove(name)
                found[name] = _result(ends.link, name, Verdict.EQUAL, f"at {theirs[0]}")
            else:
                verdict = Verdict.BEHIND if theirs < now[name] else Verdict.DIFFERS
                note = f"at {now[name][0]} on {ends.link.source.name}, at {theirs[0]} on {ends.link.target.name}"
                found[name] = _result(ends.link, name, verdict, note)
        if time.monotonic() >= deadline:
            break
        stop.raise_if_set()
        stop.wait(POLL if left else 0)
    return [found[name] for name in names]


def _result(link: Link, name: TableName, verdict: Verdict, note: str) -> TableComparison:
    return TableComparison(
        sync=link.sync.name,
        table=name,
        source=link.source.name,
        target=link.target.name,
        verdict=verdict,
        behind=int(verdict is Verdict.BEHIND),
        note=note,
    )

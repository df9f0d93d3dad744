"""In what two servers' tables differ, as far as it matters to rows that travel between them. Pure.

What each table looks like is read by `relations`; what follows from a difference is for whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterator

from replicator.relations import Column, Relation


def differences(source: Relation, target: Relation, *, keyed: bool = True) -> list[str]:
    """In what the target's table differs so that rows cannot travel whole, a phrase each; empty when they can.

    keyed: rows are to be matched by the source's key, so the target must have the same one.
    """
    missing = [f'column "{name}" is missing on the target' for name in lacking(source, target)]
    missing += [f'column "{name}" is missing on the source' for name in lacking(target, source)]
    return [*missing, *mismatches(source, target, "the source", "the target", keyed=keyed)]


def lacking(one: Relation, other: Relation) -> list[str]:
    """The columns that one table has and another lacks."""
    theirs = {column.name for column in other.columns}
    return [column.name for column in one.columns if column.name not in theirs]


def mismatches(source: Relation, target: Relation, here: str, there: str, *, keyed: bool) -> list[str]:
    """In what tables differ besides columns that one of them lacks. here, there: what the two sides are called."""
    found: list[str] = []
    theirs = {column.name: column for column in target.columns}
    for column in source.columns:
        if column.name in theirs:
            found += _column_differences(column, theirs[column.name], here, there)
    if keyed and source.key and frozenset(source.key) not in target.candidates:
        columns = ", ".join(source.key)
        found.append(f"{here}'s key ({columns}) is not a unique key of NOT NULL columns on {there}")
    return found


def _column_differences(ours: Column, theirs: Column, here: str, there: str) -> Iterator[str]:
    if ours.type != theirs.type:
        yield f'column "{ours.name}" is {ours.type} on {here} and {theirs.type} on {there}'
    elif ours.generated != theirs.generated:
        yield f'column "{ours.name}" is generated on {here if ours.generated else there} only'

"""The functions that strategies name: which they are, and whether a Python one can be asked here."""

from __future__ import annotations

from collections.abc import Iterator

from replicator import conflict
from replicator.apply.probing import load_fault, python_fault
from replicator.model import Strategy, Sync


def sql_functions(sync: Sync) -> Iterator[str]:
    """The SQL functions."""
    yield from (names[0] for kind, names in _strategies(sync) if kind is Strategy.SQL)


def _strategies(sync: Sync) -> Iterator[tuple[Strategy, tuple[str, ...]]]:
    for strategy in dict.fromkeys((sync.strategy, *(own for _, own in sync.strategies))):
        yield conflict.named(strategy)


def unloadable(sync: Sync) -> Iterator[str]:
    """A sentence for each Python function that cannot be asked."""
    for kind, names in _strategies(sync):
        if kind is Strategy.PYTHON and (why := python_fault(*names)):
            yield f"sync {sync.name}: strategy python:{':'.join(names)}: {why}"


def unloadable_here(place: str, function: str) -> str:
    """Why a hook's Python function cannot be called on this machine; empty if it can."""
    return load_fault("replicator.hooks.process", place, function)

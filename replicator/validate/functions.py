"""The functions that strategies name: which they are, and whether a Python one can be loaded here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from replicator import conflict
from replicator.model import Strategy, Sync

SECONDS = 20


def sql_functions(sync: Sync) -> Iterator[str]:
    """The SQL functions."""
    yield from (names[0] for kind, names in _strategies(sync) if kind is Strategy.SQL)


def _strategies(sync: Sync) -> Iterator[tuple[Strategy, tuple[str, ...]]]:
    for strategy in dict.fromkeys((sync.strategy, *(own for _, own in sync.strategies))):
        yield conflict.named(strategy)


def unloadable(sync: Sync) -> Iterator[str]:
    """A sentence for each Python function that cannot be loaded. Loaded in a process of its own, as when it is used."""
    for kind, names in _strategies(sync):
        if kind is Strategy.PYTHON and (why := unloadable_here(*names)):
            yield f"sync {sync.name}: strategy python:{':'.join(names)}: {why}; correct it"


def unloadable_here(place: str, function: str) -> str:
    """Why a Python function cannot be loaded on this machine; empty if it can."""
    command = [sys.executable, "-m", "replicator.apply.judge", place, function, "--load"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it does not load within {SECONDS} seconds"
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else "it does not load")

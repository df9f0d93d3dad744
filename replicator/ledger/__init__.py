"""The conflict ledger: what `apply.swap` notes on the master that decides a conflict; read, counted, acted on.

`reading` finds entries, `weighing` counts them, `trying` tries other strategies on them, `restoring` brings a loser
back, `retention` forgets the old ones, `moving` takes over those of a master that leaves. Who wins, and what is noted,
is decided elsewhere: `conflict`, `apply.swap`.
"""

from __future__ import annotations

from replicator.ledger.entry import Conflict, Side
from replicator.ledger.moving import take_over
from replicator.ledger.reading import Filters, Found, exists, find, show
from replicator.ledger.restoring import Restored, restore
from replicator.ledger.retention import KEPT, prune, prune_all
from replicator.ledger.trying import Simulated, simulate
from replicator.ledger.weighing import Group, Stats, stats

__all__ = [
    "KEPT",
    "Conflict",
    "Filters",
    "Found",
    "Group",
    "Restored",
    "Side",
    "Simulated",
    "Stats",
    "exists",
    "find",
    "prune",
    "prune_all",
    "restore",
    "show",
    "simulate",
    "stats",
    "take_over",
]

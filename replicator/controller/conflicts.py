"""The file of `log_conflict_details`: a line for each run of a swap that met conflicts.

Both rows of every conflict are in the ledger on the node that decided: `replicator conflicts`.
"""

from __future__ import annotations

from replicator.habits import Habits
from replicator.journal import Good
from replicator.logs import log
from replicator.model import Link


def note(habits: Habits, link: Link, good: Good) -> None:
    """Write the line, if there is one to write and the setting wants it."""
    counts = good.result.counts
    if not habits or not counts.conflicts or habits["log_conflict_details"] != "1":
        return
    at = good.finished.isoformat(sep=" ", timespec="seconds")
    text = f"{at} sync {link.sync.name}: {link.source.name} -> {link.target.name}: {counts.conflicts} conflicts"
    try:
        with habits.file("log_conflict_file").open("a") as file:
            file.write(f"{text}; `replicator conflicts list {link.sync.name}` shows both rows of each\n")
    except OSError as error:
        log.warning("%s: %s", habits.file("log_conflict_file"), error.strerror)

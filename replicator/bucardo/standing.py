"""How syncs stand, in the terms of Bucardo's `status`: times since, counts as I/U/D, overdue and expired. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from replicator.catalog import RunRecord, State
from replicator.cli.values import duration
from replicator.model import SyncType
from replicator.status import INACTIVE, SyncStatus

LETTERS = {SyncType.PUSHDELTA: "P", SyncType.FULLCOPY: "F", SyncType.SWAP: "S"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One sync. pid: of its controller; good, bad: its last runs of either kind within the days asked for."""

    status: SyncStatus
    pid: int | None
    good: RunRecord | None
    bad: RunRecord | None
    at: datetime
    kept: Mapping[str, str]

    @property
    def kind(self) -> str:
        """` P`, ` F!` and so on: the type, and whether it has not run for too long."""
        return f" {LETTERS[self.status.sync.type]}{self._late}"

    @property
    def _late(self) -> str:
        since = self.at - self.good.finished_at if self.good else None
        for name, mark in (("expired", " E!"), ("overdue", " O!")):
            limit = duration(self.kept.get(name, "")) if self.kept.get(name) else None
            if limit and (since is None or since > limit):
                return mark
        return ""

    @property
    def state(self) -> str:
        """`idle`, `off`, `RUN:t>db`, `WAIT:t`."""
        link = self.status.links[0] if self.status.links else None
        state = self.status.state
        if state in (State.PAUSED, State.STOPPED, INACTIVE) or link is None:
            return "off"
        worst = next(found for found in self.status.links if found.state == state)
        took = ago(self.at - worst.since) if worst.since else "?"
        if state in (State.RUNNING, State.COPYING):
            return f"RUN:{took}>{worst.link.target.name}"
        return "idle" if state == State.IDLE else f"WAIT:{took}"


def counts(run: RunRecord | None) -> str:
    """`inserted/updated/deleted` of a run."""
    return f"{run.counts.inserted}/{run.counts.updated}/{run.counts.deleted}" if run else ""


def ago(time: timedelta, *, days: bool = False, compress: bool = False, spaced: bool = False) -> str:
    """`19h31m9s`; days: hours beyond 24 become days; compress: the largest unit alone; spaced: `19h 31m 9s`."""
    seconds = max(0, int(time.total_seconds()))
    parts = []
    if days and seconds >= 86400:
        parts.append(f"{seconds // 86400}d")
        seconds %= 86400
    if seconds >= 3600:
        parts.append(f"{seconds // 3600}h")
    if seconds >= 60 and (parts or seconds >= 60):
        parts.append(f"{seconds // 60 % 60}m")
    parts.append(f"{seconds % 60}s")
    return (" " if spaced else "").join(parts[:1] if compress else parts)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under their names, a rule of `=` and `+` between, cells joined by `|`."""
    widths = [max(len(cell) for cell in cells) for cells in zip(columns, *rows, strict=True)]
    head = " ".join(f"{name:<{wide}}" for name, wide in zip(columns, widths, strict=True)).rstrip()
    rule = "+".join("=" * wide for wide in widths)
    lines = ["|".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)) + "|" for row in rows]
    return [head, rule, *lines]

"""A table's part of a batch: its changes, and where and by what they are found in its log.

The query of its rows is composed in `rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from replicator.capture.delta import UNSEEN, Delta, unseen


@dataclass(frozen=True, kw_only=True)
class Part:
    """log: what the rows of the table's log are read from. carried: which of them, as `delta.carried` has it.

    authored: between masters rows have versions. retry: further keys, as JSON objects.
    """

    delta: Delta
    log: sql.Composable
    carried: LiteralString
    authored: bool
    retry: Sequence[str] = ()

    @property
    def mine(self) -> sql.Composed:
        """That row `l` of the log is in the batch."""
        since = sql.SQL(UNSEEN) if self.delta.by_parameters else unseen("l.xid", self.delta.since)
        return sql.SQL("({} and {})").format(since, sql.SQL(self.carried))

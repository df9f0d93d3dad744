"""The changes of one table in a batch, and which rows of its log they are.

A log row belongs to the batch when the position's snapshot did not see its transaction; written as ids so that the
log's index finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import LiteralString

from psycopg import sql

from replicator.capture.captured import Captured
from replicator.model import Link
from replicator.relations import Relation
from replicator.snapshot import Snapshot

UNSEEN = "(l.xid >= $1::bigint or l.xid = any($2::bigint[]))"
"""As `unseen` has it, of a position that is given by parameters."""


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The changes of one table in a batch. since: what the target has. truncated: it was emptied in between.

    had: what the target has of the third masters of a swap, by their numbers. by_parameters: queries do not say since
    when, but take it as `parameters`.
    """

    relation: Relation
    captured: Captured
    since: Snapshot
    truncated: bool = False
    had: Mapping[int, Snapshot] = field(default_factory=dict)
    by_parameters: bool = False

    @property
    def parameters(self) -> tuple[object, ...]:
        """What $1 and $2 stand for: the ids that its position has not seen."""
        return self.since.xmax, sorted(self.since.xip)


def carried(link: Link) -> LiteralString:
    """Which rows `l` of its source's log a link brings to its target.

    Between masters what was written there itself. To a slave of a swap all that happened to the rows: it may have
    followed another lead until now, so that nothing of this log was meant for it when it was written.
    """
    if link.mutual:
        return "l.origin is null"
    return "true" if link.led else "l.onward"


def unseen(column: LiteralString, since: Snapshot) -> sql.Composed:
    """The condition that a transaction id was not seen by a snapshot, in a form that an index can answer."""
    newer = sql.SQL("{} >= {}").format(sql.SQL(column), sql.Literal(since.xmax))
    if not since.xip:
        return newer
    running = sql.SQL("{} = any({}::bigint[])").format(sql.SQL(column), sql.Literal(sorted(since.xip)))
    return sql.SQL("({} or {})").format(newer, running)

"""Whether a link's tables are still defined as they were when it was prepared, looked at now and then: nothing tells.

What is done about a change is decided in `fitting`, with the next `prepare`.
"""

from __future__ import annotations

from collections.abc import Collection

from replicator.model import TableName
from replicator.postgres import Connection
from replicator.question import Question
from replicator.relations import fingerprint_query
from replicator.snapshot import Snapshot
from replicator.syncrun.every import Every

EVERY = 2.0
"""Seconds between looks of a link that has nothing to move."""


class Defined:
    """The definitions at both ends of a link. fingerprints: what they were, of the source and the target."""

    def __init__(
        self, source: Connection, target: Connection, tables: Collection[TableName], fingerprints: tuple[str, str]
    ) -> None:
        self._source, self._target = (
            Question(end, fingerprint_query(end.info.server_version, tuple(tables))) for end in (source, target)
        )
        self._fingerprints = fingerprints
        self._looking = Every(EVERY)
        self._looked_at: Snapshot | None = None

    def changed(self) -> bool:
        """Whether they are others now."""
        return self._differs(self._source, 0) or self._differs(self._target, 1)

    def changed_by(self, snapshot: Snapshot) -> bool:
        """The same if it is time to look. snapshot: the source's, taken just now.

        A source where no transaction has ended since the last look has the definitions of then.
        """
        if not self._looking.due():
            return False
        still, self._looked_at = self._looked_at == snapshot, snapshot
        return (not still and self._differs(self._source, 0)) or self._differs(self._target, 1)

    def _differs(self, question: Question, end: int) -> bool:
        return question.ask()[0].decode() != self._fingerprints[end]

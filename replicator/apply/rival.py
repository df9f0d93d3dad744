"""A staged row and the newest version of it that is here, and what becomes of the two. Values only; see `meeting`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from replicator import conflict
from replicator.conflict import Claim, Outcome


@dataclass(frozen=True)
class Rival:
    """A staged row and the newest version that is here. same: they are equal, rows and all."""

    id: str
    row: str
    incoming: Claim
    local: Claim
    local_op: str
    same: bool

    @property
    def settled(self) -> bool:
        """Whether both settle a conflict already."""
        return self.incoming.settled and self.local.settled


@dataclass(frozen=True)
class Verdict:
    """What becomes of a rival. rule: by which it was decided. noted: it goes into the ledger.

    here: the number of the node that decides. merged: the row, as JSON text, that a function made of both.
    """

    rival: Rival
    outcome: Outcome
    rule: str
    noted: bool
    here: int
    merged: str | None = None

    @property
    def taken(self) -> bool:
        """Whether something is written where the row is here."""
        return self.outcome in (Outcome.TAKE, Outcome.TAKE_ANEW, Outcome.MERGE)

    @property
    def incoming_wins(self) -> bool:
        """Whether the arriving row is what stays."""
        return self.taken and self.outcome is not Outcome.MERGE

    @property
    def anew(self) -> datetime | None:
        """The time of the version that settles it."""
        if self.outcome in (Outcome.TAKE_ANEW, Outcome.KEEP_ANEW, Outcome.MERGE):
            return conflict.anew(self.rival.incoming.version, self.rival.local.version)
        return None

    @property
    def author(self) -> int | None:
        """Whose row that version is."""
        if self.outcome is Outcome.MERGE:
            return self.here
        if self.anew is None:
            return self.rival.incoming.author if self.rival.incoming.settled else None
        return self.rival.incoming.author if self.taken else self.rival.local.author

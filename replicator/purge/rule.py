"""The rule: up to where a log may be removed, by what its readers have seen. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from replicator.progress import Origin
from replicator.snapshot import Snapshot


@dataclass(frozen=True)
class Reader:
    """Somebody who needs a log's rows until `seen` sees them. None: all of them, because of `why`."""

    name: str
    seen: Snapshot | None
    why: str = ""


@dataclass(frozen=True)
class Horizon:
    """Rows of transactions below `xid` may go. holder: who keeps the rest, and why."""

    xid: int
    holder: str


def horizon(readers: Iterable[Reader], now: Snapshot) -> Horizon:
    """How far a log may be removed. now: a snapshot of its node, for a log that nobody reads."""
    held = Horizon(now.xmin, "transactions in progress")
    for reader in readers:
        if reader.seen is None:
            return Horizon(0, f"{reader.name}: {reader.why}")
        if reader.seen.xmin < held.xid:
            held = Horizon(reader.seen.xmin, reader.name)
    return held


@dataclass(frozen=True)
class Look:
    """Two snapshots of a member: `first`, and `second`, which is later than every member's first."""

    first: Snapshot
    second: Snapshot


@dataclass
class Generations:
    """The generations of one swap, kept in memory: after a restart they begin anew, which only delays.

    A generation begins with two looks at each member. It ends when each member's position on each other one covers
    that other one's second snapshot: a batch that was begun within it has arrived everywhere. (And what each slave has
    of it through its lead: a slave that another master takes over must find there what it lacks.) What a first snapshot
    sees its author's second one sees, and so it is known to all once its generation has ended; and whatever was
    written without knowing it has arrived everywhere once the generation after that has ended. So after two, a version
    is no longer needed to judge by. One look would not do: members are looked at one after the other, and what one of
    them had from another may be later than the look at that other.
    """

    members: Mapping[str, Origin] = field(default_factory=dict)
    begun: Mapping[str, Look] | None = None
    ended: tuple[Mapping[str, Look], ...] = ()

    def advance(
        self,
        members: Mapping[str, Origin],
        now: Mapping[str, Look],
        positions: Mapping[tuple[str, str], Snapshot | None],
        slaves: Collection[str] = (),
    ) -> None:
        """End the generation if the positions, by (source, target), say so; begin one where there is none.

        members: whose histories the snapshots are of; where one is another than before, all begins anew. positions:
        as they were before the first look of `now`. slaves: those to be heeded.
        """
        if members != self.members:
            self.members, self.begun, self.ended = dict(members), None, ()
        if self.begun is not None and self._over(self.begun, positions, slaves):
            self.ended = (*self.ended, self.begun)[-2:]
            self.begun = None
        if self.begun is None:
            self.begun = {name: now[name] for name in members}

    @staticmethod
    def _over(
        begun: Mapping[str, Look],
        positions: Mapping[tuple[str, str], Snapshot | None],
        slaves: Collection[str],
    ) -> bool:
        pairs = [(source, target) for source in begun for target in (*begun, *slaves) if source != target]
        at = [(positions.get(pair), begun[pair[0]].second) for pair in pairs]
        return all(position is not None and position.covers(start) for position, start in at)

    def settled(self, member: str) -> Snapshot | None:
        """The snapshot of a member whose rows are needed no longer; None while fewer than two have ended."""
        look = self.ended[0].get(member) if len(self.ended) == 2 else None
        return look.first if look else None


State = dict[str, Generations]
"""By the name of the swap."""

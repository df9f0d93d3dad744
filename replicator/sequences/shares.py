"""Which numbers each master of a swap hands out, so that no two hand out the same. Pure.

Numbers are cut into rounds of `step`; in each round every master has the one number of its place:

    round 0: 1 2 3 ... 16    round 1: 17 18 19 ... 32    the master of place 2: 2, 18, 34 ...

A sequence that increments by `step` from a number of its place never leaves them. What it handed out before it was
*shared* so lies before its START value, which is in a later round; so of two shared sequences, neither can hand out
what the other ever has, if each stands in no earlier round than the other's START. That can be read off the two
sequences; nothing else needs to be remembered, and TRUNCATE ... RESTART IDENTITY stays within the master's numbers.

Of a sequence that counts down, all this is said of its numbers times -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from replicator.errors import InvalidTopology, SchemaMismatch
from replicator.model import Database, Sync, TableName

AHEAD = 64
"""Rounds that are left out when both of two masters are shared anew: their commits are two, and a master whose commit
is late has these to itself, a thousand numbers by default, before it could reach what the other hands out already."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A sequence as a server has it. last: handed out last, or first if it was never `called`.

    beyond: the furthest number in the column that it feeds; None where that was not looked up, or there is none.
    """

    name: TableName
    increment: int
    start: int
    least: int
    most: int
    cycles: bool
    last: int
    called: bool
    beyond: int | None = None

    @property
    def down(self) -> bool:
        """Whether it counts down."""
        return self.increment < 0

    @property
    def way(self) -> int:
        """1, or -1 if it counts down."""
        return -1 if self.down else 1

    @property
    def next(self) -> int:
        """The number that it hands out next, times `way`."""
        return self.way * (self.last + self.increment if self.called else self.last)

    @property
    def used(self) -> int:
        """The furthest number that may have been handed out, times `way`."""
        handed_out = self.way * self.last - (0 if self.called else 1)
        return handed_out if self.beyond is None else max(handed_out, self.way * self.beyond)


@dataclass(frozen=True)
class Share:
    """A master's part of the numbers. place: 1 to step."""

    place: int
    step: int

    def holds(self, number: int) -> bool:
        """Whether a number, times `way`, is one of this master's."""
        return (number - self.place) % self.step == 0

    def round(self, number: int) -> int:
        """The round that a number, times `way`, lies in."""
        return (number - 1) // self.step

    def number(self, round_: int) -> int:
        """This master's number of a round, times `way`."""
        return round_ * self.step + self.place

    def taken(self, found: Standing) -> bool:
        """Whether the sequence hands out numbers of this share alone."""
        return abs(found.increment) == self.step and self.holds(found.way * found.start) and self.holds(found.next)


@dataclass(frozen=True)
class Move:
    """What a sequence becomes: a value each for ALTER SEQUENCE."""

    increment: int
    start: int
    restart: int


def share(sync: Sync, members: Sequence[Database], member: Database) -> Share:
    """A member's share. Raises InvalidTopology when two of them have the same, by their numbers in the catalog."""
    step = sync.sequence_step
    places: dict[int, Database] = {}
    for other in members:
        same = places.setdefault((other.id - 1) % step, other)
        if same is not other:
            raise InvalidTopology(
                f"sync {sync.name}: {same.name} and {other.name} would hand out the same numbers (the catalog's number"
                f" of one is {same.id}, of the other {other.id}; sequence_step is {step}).",
                hint=f"Say `replicator update sync {sync.name} --sequence-step {2 * step}`.",
            )
    return Share((member.id - 1) % step + 1, step)


def check(found: Standing, of: str) -> None:
    """Raise SchemaMismatch if a sequence cannot be shared."""
    wrong = ""
    if found.cycles:
        wrong = "begins again at its end (CYCLE); say NO CYCLE"
    elif abs(found.increment) & (abs(found.increment) - 1):
        wrong = f"increments by {found.increment}, which is no power of two; let it increment by {found.way}"
    if wrong:
        raise SchemaMismatch(
            f"sequence {found.name} on {of} {wrong}.", hint="Or leave the sequences alone: `--sequences none`."
        )


def apart(one: tuple[Standing, Share], other: tuple[Standing, Share]) -> tuple[Move | None, Move | None]:
    """What two masters' sequences must become so that neither hands out what the other has or will.

    Of a sequence that is not shared yet, `beyond` counts as handed out. None: it is well as it is. Raises
    SchemaMismatch when there are no such numbers left.
    """
    ends = (one, other)
    new = [not its.taken(found) for found, its in ends]
    starts = [
        its.number(its.round(found.used) + 1) if anew else found.way * found.start
        for (found, its), anew in zip(ends, new, strict=True)
    ]
    floor = max(its.round(start) for (_, its), start in zip(ends, starts, strict=True))
    if all(new):
        floor += AHEAD
    standing = [0 if anew else its.round(found.next) for (found, its), anew in zip(ends, new, strict=True)]
    moves: list[Move | None] = []
    for number, (found, its) in enumerate(ends):
        # What is shared anew goes beyond where the other stands, and so beyond all that it knows of third ones.
        least = max(floor, standing[1 - number]) if new[number] else floor
        restart = its.number(least)
        if new[number] or found.next < restart:
            moves.append(_move(found, its, starts[number], restart))
        else:
            moves.append(None)
    return moves[0], moves[1]


def _move(found: Standing, its: Share, start: int, restart: int) -> Move:
    if not found.least <= found.way * restart <= found.most:
        raise SchemaMismatch(
            f"sequence {found.name} would have to go on at {found.way * restart}, which is beyond its end.",
            hint="Give it a larger type, or a MAXVALUE further away.",
        )
    return Move(found.way * its.step, found.way * start, found.way * restart)


def moved(found: Standing, move: Move) -> Standing:
    """The sequence once that is done."""
    return replace(found, increment=move.increment, start=move.start, last=move.restart, called=False)

"""Which of two changes of one row stays when two masters made them without knowing of each other. Pure.

A version is a time and a node. The time of a change is later than that of any version of the row that its node knew
(`effective`), and later than the node's floor (`stamped`), so a later write never loses to a fast clock, and versions
of one row are in one order on all nodes, in which whoever knew another comes after it. Every node ends with the last
version: that is why any number of masters converge.

    standing      where an arriving version stands to the newest one that is there
    Rule.wins     who is to stay when they are rivals: the strategy
    outcome       what is to be done so that all nodes come to that end

A strategy may choose the earlier of two rivals, or a third row that it makes of them. The node that decides then writes
the chosen row again, as a new version of its own, later than both: so the order of versions decides everywhere, and a
strategy may be any rule at all. Such a version is `settled`: two of them that meet are not judged again, the later one
stays; only a function that merges gets to see both (`merges_again`).

`apply.swap` does in sets what is said here of one row; `tests/simulator` drives these functions through histories.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum

from replicator.model import Strategy, Sync, TableName, Topology
from replicator.snapshot import Snapshot

EPOCH = datetime.fromtimestamp(0, UTC)
"""The time of a row of which no log knows: it is older than all that is being decided about."""

TICK = timedelta(microseconds=1)
"""The least by which a version is later than what its node knew."""


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """When a row's state was written, and on which node (Database.id). Later wins; the node breaks a tie."""

    at: datetime
    node: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One side of a conflict. author: whose row it is; another than the version's node where that one settled it."""

    version: Version
    author: int
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest version of a row that a node's log knows, and whether it and the one that arrives knew of each other.

    local: written here. seen: the sender had it when the batch was read. knew: its author had the arriving one when it
    last sent something, or neither can be told; then the order of versions decides.
    """

    version: Version
    local: bool
    seen: bool = False
    knew: bool = False


class Standing(StrEnum):
    """Where an arriving version stands to the newest one that is there."""

    NEWER = "newer"  # it replaces it: its author knew it, or would win against it anywhere
    OLDER = "older"  # all will come to the one that is there
    RIVAL = "rival"  # neither knew of the other: a conflict


def early(made: Iterable[tuple[int, int]], had: Mapping[int, Snapshot]) -> bool:
    """Whether what was counted on a row arrives before the row itself does: then it waits, and is counted once.

    made: what the sender knows of the row's making, and deletions, by third masters: node, and transaction there.
    had: what the receiver has of these masters. Where a row is new, its maker's part alone is written: what it holds
    of others' gains is left out, since whoever counted sends that, once, whichever way the row came.
    """
    return any(node in had and not had[node].sees(xid) for node, xid in made)


class Outcome(StrEnum):
    """What to do with a rival."""

    TAKE = "take"  # the arriving row is written, as the version that it came with
    KEEP = "keep"  # what is there stays
    TAKE_ANEW = "take anew"  # the arriving row is written, as a new version of this node
    KEEP_ANEW = "keep anew"  # what is there stays, and becomes a new version of this node
    MERGE = "merge"  # a third row is written, which a function made of both, as a new version of this node
    LEAVE = "leave"  # both sides keep what they have, until one of them changes again


def stamped(clock: datetime, floor: datetime) -> datetime:
    """The time of a local change, as the trigger notes it."""
    return max(clock, floor + TICK)


def raised(floor: datetime, applied: datetime, clock: datetime) -> datetime:
    """The floor after a version was applied: above every version that lies ahead of the clock."""
    return max(floor, applied) if applied > clock else floor


def effective(local: datetime, remote: datetime | None) -> datetime:
    """The time of a local version: the latest noted time of its row's local changes, and after all that had arrived."""
    return local if remote is None else max(local, remote + TICK)


def inherited(local: datetime, gone: datetime, *, from_here: bool) -> datetime:
    """The time that a local change takes over from an earlier change of its row that leaves the log."""
    return max(local, gone) if from_here else effective(local, gone)


def anew(incoming: Version, local: Version) -> datetime:
    """The time of a version that settles a conflict."""
    return max(incoming.at, local.at) + TICK


def standing(incoming: Version, newest: Newest | None) -> Standing:
    """Where a version that arrives from its author stands. From one author versions arrive in order."""
    if newest is None or newest.version.node == incoming.node or newest.seen:
        return Standing.NEWER
    if newest.knew:
        return Standing.NEWER if incoming > newest.version else Standing.OLDER
    return Standing.RIVAL


@dataclass(frozen=True)
class Rule:
    """A strategy, ready to judge. text: as declared. places: whose rows come first, by node; lower is better."""

    kind: Strategy
    text: str = ""
    places: Mapping[int, int] = field(default_factory=dict)

    def wins(self, incoming: Claim, local: Claim, row: str) -> bool | None:
        """Whether the arriving side is to stay; None: neither, both stay where they are. row: names the row.

        The same answer on every node, whichever side arrives. Of a function: what holds where it has no opinion.
        """
        latest = incoming.version > local.version
        if incoming.settled and local.settled:
            return latest
        match self.kind:
            case Strategy.SKIP | Strategy.ABORT:
                return None
            case Strategy.RANDOM:
                return _draw(incoming, row) > _draw(local, row)
            case _:
                places = [self.places.get(side.author, len(self.places)) for side in (incoming, local)]
                return latest if places[0] == places[1] else places[0] < places[1]

    @property
    def calls(self) -> bool:
        """Whether a function decides."""
        return self.kind in (Strategy.SQL, Strategy.PYTHON)


def row_name(table: TableName, key: Mapping[str, object]) -> str:
    """What names a row in a draw: the same text on every node."""
    return json.dumps([str(table), {name: str(value) for name, value in key.items()}], sort_keys=True)


def _draw(side: Claim, row: str) -> tuple[bytes, Version]:
    text = f"{row}\0{side.version.at.isoformat()}\0{side.version.node}"
    return hashlib.sha256(text.encode()).digest(), side.version


def outcome(wins: bool | None, incoming: Version, local: Version) -> Outcome:
    """What to do so that all nodes end with the side that is to stay."""
    if wins is None:
        return Outcome.LEAVE
    if wins:
        return Outcome.TAKE if incoming > local else Outcome.TAKE_ANEW
    return Outcome.KEEP if local > incoming else Outcome.KEEP_ANEW


def merges_again(incoming: Claim, local: Claim, here: int) -> bool:
    """Whether a function that merges is asked once more where two settled versions meet: by the author of one of them.

    Nobody else sends it on, and the other author will not see them as rivals any more. It ends if the function adds
    nothing to a row that it has been given before, which whoever asks makes sure of.
    """
    return incoming.settled and local.settled and local.version.node == here


def rule(topology: Topology, sync: Sync, strategy: str) -> Rule:
    """A strategy of a sync, by the nodes that it is about. Raises ValueError when it is none; see `named`."""
    kind, rest = named(strategy)
    lead, *others = topology.masters(sync)
    places: dict[int, int] = {}
    match kind:
        case Strategy.SOURCE:
            places = {lead.id: 0}
        case Strategy.TARGET:
            places = {lead.id: 1} | {other.id: 0 for other in others}
        case Strategy.ORDER:
            known = [name for name in rest if name in topology.databases]
            places = {topology.databases[name].id: place for place, name in enumerate(known)}
    return Rule(kind, strategy, places)


def named(text: str) -> tuple[Strategy, tuple[str, ...]]:
    """The kind of a strategy, and what it names: nodes of an order, a function. Raises ValueError saying what is wrong.

    `latest`, `source`, `target`, `random`, `skip`, `abort`; `sql:schema.function`; `python:module:function`;
    anything else is one node or several, the first of which comes first: `master2, master`.
    """
    if text in PLAIN:
        return Strategy(text), ()
    kind, colon, rest = text.partition(":")
    if colon and kind == Strategy.SQL and rest.strip():
        return Strategy.SQL, (rest.strip(),)
    if colon and kind == Strategy.PYTHON:
        place, _, function = rest.strip().rpartition(":")
        if not place or not function.isidentifier():
            raise ValueError(f"{text!r} does not name a Python function; write python:module:function")
        return Strategy.PYTHON, (place, function)
    names = tuple(name.strip() for name in text.split(","))
    if colon or not all(names):
        raise ValueError(f"{text!r} is no strategy; known: {', '.join(PLAIN)}, sql:..., python:..., or nodes in order")
    return Strategy.ORDER, names


def unknown(word: str, nodes: Sequence[str]) -> str:
    """A sentence on a word that is neither a strategy nor a node, with what was perhaps meant."""
    close = get_close_matches(word, [*PLAIN, *nodes], 1)
    guess = f" (do you mean {close[0]}?)" if close else ""
    return (
        f"{word!r} is neither a strategy ({', '.join(PLAIN)}, sql:schema.function, python:module:function)"
        f" nor a database ({', '.join(nodes)}){guess}"
    )


PLAIN = tuple(kind.value for kind in Strategy if kind not in (Strategy.ORDER, Strategy.SQL, Strategy.PYTHON))
"""The strategies that are one word."""

"""Histories: drawn from a seed, played in a `World`, judged at the end, and shrunk when they went wrong."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from replicator.conflict import Claim, Rule
from replicator.model import Strategy
from tests.simulator.world import AT_ONCE, Rules, World

Event = tuple[str, tuple[int, ...]]

HOUR = 3600
ORDER = {2: 0, 1: 1, 3: 2}

RULES = {
    "latest": Rule(Strategy.LATEST),
    "source": Rule(Strategy.SOURCE, places={1: 0}),
    "target": Rule(Strategy.TARGET, places={2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 1: 1}),
    "order": Rule(Strategy.ORDER, places=ORDER),
    "random": Rule(Strategy.RANDOM),
    "skip": Rule(Strategy.SKIP),
    "abort": Rule(Strategy.ABORT),
    "function": Rule(Strategy.PYTHON),
    "merge": Rule(Strategy.PYTHON),
}
"""The strategies, by name. `function` stands for any function, SQL or Python: one that answers by chance; `merge` for
one that makes a third row of both, in which all is that was in either."""

PACES = (AT_ONCE, 1, 2)
"""How many nodes a survey of the purge looks at between two events, by turns of the seed."""


@dataclass(frozen=True)
class History:
    """What happens, by seed and strategy."""

    seed: int
    strategy: str
    nodes: int
    keys: int
    skews: tuple[int, ...]
    events: tuple[Event, ...]


def draw(seed: int, strategy: str, length: int = 70) -> History:
    """A history."""
    chance = random.Random(f"{strategy}:{seed}")
    nodes = chance.choice([2, 2, 3, 3, 4])
    keys = chance.choice([1, 2, 3])
    skews = tuple(chance.choice([0, 0, 1, -1, 2 * HOUR, -3 * HOUR]) for _ in range(6))
    busy = chance.choice([0.3, 0.5, 0.7])
    events = tuple(_event(chance, nodes, keys, busy) for _ in range(chance.randint(length // 3, length)))
    if strategy in ("skip", "abort"):
        # Where rows were left different, what a node that has gone left of them is known to some only.
        events = tuple(event for event in events if event[0] != "remove")
    return History(seed, strategy, nodes, keys, skews, events)


def _event(chance: random.Random, nodes: int, keys: int, busy: float) -> Event:
    node, key = chance.randint(1, nodes), chance.randrange(keys)
    pair = node, chance.randint(1, nodes)
    if chance.random() < busy:
        kinds, weights = zip(*APPLICATION.items(), strict=True)
        (kind,) = chance.choices(kinds, weights)
        return kind, (node, chance.randrange(4), key, chance.randrange(keys), chance.randint(-9, 9))
    kinds, weights = zip(*REPLICATOR.items(), strict=True)
    (kind,) = chance.choices(kinds, weights)
    if kind in ("add", "remove"):
        return kind, (chance.randint(2, 6),)
    if kind == "clock":
        return kind, (node, chance.choice([-5 * HOUR, -HOUR, -1, 1, HOUR, 4 * HOUR]))
    return kind, pair


def with_rows(history: History) -> History:
    """The history, and rows that masters make in between and all count on and change.

    Nobody joins, as a copy is no batch.
    """
    chance = random.Random(f"rows of {history.strategy}:{history.seed}")
    events: list[Event] = []
    for event in history.events:
        if event[0] not in ("add", "remove"):
            events.append(event)
        while chance.random() < 0.5:
            node = chance.randint(1, history.nodes)
            kind = chance.choice(["make", "count", "count", "count", "rewrite", "run", "run"])
            numbers = (node, chance.randint(1, history.nodes)) if kind == "run" else (node, chance.randrange(20))
            events.append((kind, numbers))
    return replace(history, events=tuple(events))


APPLICATION = {"write": 10, "delete": 4, "increment": 4, "move": 2, "open": 4, "keep": 2, "commit": 5, "abort": 1}
REPLICATOR = {
    **{"run": 8, "read": 6, "lock": 5, "land": 6, "drop": 1, "crash": 1, "cut": 1, "heal": 2, "clock": 1},
    **{"round": 5, "survey": 3, "purge": 6, "add": 1, "remove": 1},
}


def play(history: History, events: Iterable[Event] | None = None, rules: Rules | None = None) -> str:
    """What went wrong, a sentence; empty when nothing did."""
    chance = random.Random(history.seed)

    def by_chance(_incoming: Claim, _local: Claim, _row: str) -> bool | None:
        # Settled claims are settled before any function is asked.
        if _incoming.settled and _local.settled:
            return _incoming.version > _local.version
        return chance.random() < 0.5

    decide = by_chance if history.strategy == "function" else None
    pace = PACES[history.seed % len(PACES)]
    world = World(history.nodes, history.keys, RULES[history.strategy], rules or Rules(), decide, pace)
    world.merges = history.strategy == "merge"
    for node, skew in zip(world.nodes.values(), history.skews, strict=False):
        node.skew = timedelta(seconds=skew)
    for event in history.events if events is None else events:
        step(world, event)
    return judge(world, history)


def step(world: World, event: Event) -> None:
    """One event. One that cannot happen now does not."""
    world.now += timedelta(milliseconds=1)
    world.look_on()
    kind, numbers = event
    node = numbers[0]
    if kind in ("add", "remove"):
        getattr(world, kind)(node)
        return
    if node not in world.nodes:
        return
    match kind, numbers:
        case ("write" | "delete", (_, place, key, _, _)):
            world.write(node, place, key, kind)
        case "increment", (_, place, key, _, gain):
            world.write(node, place, key, "add", add=gain)
        case "move", (_, place, key, to, _):
            world.move(node, place, key, to)
        case "open", _:
            world.open(node, keeps=False)
        case "keep", _:
            world.open(node, keeps=True)
        case (("commit" | "abort"), (_, place, _, _, _)):
            getattr(world, kind)(node, place % 3)
        case "make", _:
            world.make(node)
        case "count", (_, which):
            world.on_made(node, which, "add", which + 1)
        case "rewrite", (_, which):
            world.on_made(node, which, "write")
        case "clock", (_, seconds):
            world.nodes[node].skew += timedelta(seconds=seconds)
        case "survey", _:
            world.survey()
        case "round", _:
            for pair in list(world.pairs()):
                world.run(*pair)
            world.survey()
        case (("purge" | "crash"), _):
            getattr(world, kind)(node)
        case "cut", (_, other):
            world.cut.add((node, other))
        case "heal", (_, other):
            world.cut.discard((node, other))
        case _, (_, other):
            if other in world.nodes:
                getattr(world, kind)(node, other)


def judge(world: World, history: History) -> str:
    """Whether all nodes come to the same, nothing acknowledged is unaccounted for, and later writes win."""
    if not world.settle():
        return "it does not come to rest"
    left = set().union(*(node.left for node in world.nodes.values()))
    if problem := _unequal(world, left) or _unaccounted(world) or _wrong_sums(world, left):
        return problem
    world.pace = AT_ONCE
    world.look_on()
    for _ in range(3):
        world.survey()
        for number in world.members:
            world.purge(number)
        for pair in list(world.pairs()):
            world.run(*pair)
    chance = random.Random(history.seed)
    for key in range(world.keys):
        # A write when all is quiet knows all that was written: it is there in the end, however slow its node's clock.
        number = chance.choice(world.members)
        world.write(number, 9, key, "write")
        written = world.nodes[number].writes[key]
        if not world.settle():
            return "it does not come to rest after a late write"
        for other in world.members:
            if world.nodes[other].writes[key] != written:
                return f"key {key}: the last write, on {number}, is not on {other}"
    return _unequal(world, set())


def _unequal(world: World, left: set[int]) -> str:
    first, *others = (world.nodes[number] for number in world.members)
    for key in range(world.keys):
        for other in others:
            if first.table.get(key) != other.table.get(key) and key not in left:
                return f"key {key}: {first.table.get(key)} on {first.id}, {other.table.get(key)} on {other.id}"
    return ""


def _wrong_sums(world: World, left: set[int]) -> str:
    for key, total in world.total.items():
        for number in world.members:
            found = world.nodes[number].counters.get(key)
            if found != total and not (found is None and key in left):  # of what was left nobody sends a third one his
                return f"counter {key}: {found} on {number}, {total} in all"
    return ""


def _unaccounted(world: World) -> str:
    """Every committed write is there, was overwritten by one that knew it, or is named in a ledger."""
    known: set[int] = set()
    ends = {write for number in world.members for write in world.nodes[number].writes.values()}
    if not world.merges:  # then it must all have come together
        ends |= {write for node in world.nodes.values() for _, write, _ in node.ledger}
    todo = list(ends)
    while todo:
        write = todo.pop()
        if write not in known:
            known.add(write)
            todo.extend(world.parents[write])
    missing = world.committed - known
    return f"write {min(missing)} is neither there nor in a ledger" if missing else ""


def shrink(history: History, rules: Rules | None = None) -> tuple[Event, ...]:
    """The history's events without those that it goes wrong without as well."""
    events: Sequence[Event] = history.events
    size = len(events) // 2
    while size:
        start = 0
        while start < len(events):
            fewer = [*events[:start], *events[start + size :]]
            if play(history, fewer, rules):
                events = fewer
            else:
                start += size
        size //= 2
    return tuple(events)


def report(history: History, problem: str, rules: Rules | None = None) -> str:
    """A history that went wrong, for people: how to see it again, and its shortest form."""
    events = shrink(history, rules)
    lines = [f"  {kind} {' '.join(map(str, numbers))}" for kind, numbers in events]
    skews = ", ".join(map(str, history.skews[: history.nodes]))
    return "\n".join(
        [
            f"{history.strategy}, seed {history.seed}: {problem}",
            f"again: python -m tests.simulator --strategy {history.strategy} --seed {history.seed}",
            f"{history.nodes} nodes, {history.keys} keys, clocks ahead by {skews} s; shortest form:",
            *lines,
            f"  ends with: {play(history, events, rules)}",
        ]
    )

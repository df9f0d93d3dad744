"""What differs between two topologies, and what the step from one to the other leaves on nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from replicator.capture import Need, needs
from replicator.catalog import Leftover
from replicator.errors import InvalidTopology
from replicator.model import Database, DbGroup, Herd, Sync, SyncType, TableName, Topology

Declared = Database | DbGroup | Herd | Sync

NOUNS = {"database": "databases", "dbgroup": "dbgroups", "herd": "herds", "sync": "syncs"}
"""What a topology holds, in an order in which later ones refer to earlier ones only: word and field."""


class Kind(StrEnum):
    """What happens to an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class TopologyChange:
    """One difference. noun: a key of NOUNS, or "leftover". before, after: None where there is nothing."""

    kind: Kind
    noun: str
    name: str
    before: Declared | Leftover | None = None
    after: Declared | None = None

    @property
    def object(self) -> str:
        """The object as words: `herd alpha`."""
        return f"{self.noun} {self.name}"

    @property
    def before_lines(self) -> tuple[str, ...]:
        """What it is now, `key: value` a line."""
        return tuple(lines(self.before)) if self.before else ()

    @property
    def after_lines(self) -> tuple[str, ...]:
        """What it is to be, `key: value` a line."""
        return tuple(lines(self.after)) if self.after else ()

    @property
    def diff(self) -> tuple[str, ...]:
        """The lines that go, with `- ` before them, then those that come, with `+ `."""
        gone = (f"- {line}" for line in self.before_lines if line not in self.after_lines)
        come = (f"+ {line}" for line in self.after_lines if line not in self.before_lines)
        return (*gone, *come) or ("~ order",)

    def __str__(self) -> str:
        return f"{self.kind} {self.object}"


def lines(value: Declared | Leftover) -> Iterator[str]:
    """A value as `key: value` lines, without its name and without what is not set. There are no secrets in it."""
    for key, content in vars(value).items():
        if key in ("name", "id", "noted_at") or content in (None, "", ()) or (key in SHARED and not _shares(value)):
            continue
        if isinstance(content, Mapping):
            yield from (f"{key}.{name}: {content[name]}" for name in sorted(content))
        elif key == "strategies":
            yield from (f"strategy of {table}: {strategy}" for table, strategy in content)
        elif isinstance(content, tuple):
            yield from (f"{key.removesuffix('s')}: {item}" for item in content)
        else:
            yield f"{key}: {str(content).lower() if isinstance(content, bool) else content}"


SHARED = ("sequences", "sequence_step")
"""What a sync says of numbers; of a herd, the first are its sequences."""


def _shares(value: Declared | Leftover) -> bool:
    """Whether that means something: only masters share numbers."""
    return not isinstance(value, Sync) or value.type is SyncType.SWAP


def captured(topology: Topology) -> dict[str, set[TableName]]:
    """Which tables each database must log changes of; databases that log nothing are there with an empty set."""
    return {name: set(needs(topology, name)) for name in topology.databases}


def users(topology: Topology, noun: str, name: str) -> list[str]:
    """What refers to an object directly, as words; it cannot be removed before those."""
    found = {
        "database": [
            *(f"dbgroup {group.name}" for group in topology.dbgroups.values() if name in group.members),
            *(f"herd {herd.name}" for herd in topology.herds.values() if herd.database == name),
        ],
        "herd": [f"sync {sync.name}" for sync in topology.syncs.values() if sync.herd == name],
    }.get(noun, [])
    if noun in ("database", "dbgroup"):
        found += [f"sync {sync.name}" for sync in topology.syncs.values() if name in sync.targets]
    return found


def changes(current: Topology, desired: Topology) -> list[TopologyChange]:
    """What differs. Creations and updates come in the order of NOUNS, then deletions in the reverse. Pure."""
    return [*_arrivals(current, desired), *_departures(current, desired)]


def _arrivals(current: Topology, desired: Topology) -> Iterator[TopologyChange]:
    for noun, field in NOUNS.items():
        before = getattr(current, field)
        for name, value in getattr(desired, field).items():
            if name not in before:
                yield TopologyChange(kind=Kind.CREATE, noun=noun, name=name, after=value)
            elif not same(before[name], value):
                yield TopologyChange(kind=Kind.UPDATE, noun=noun, name=name, before=before[name], after=value)


def _departures(current: Topology, desired: Topology) -> Iterator[TopologyChange]:
    for noun, field in reversed(NOUNS.items()):
        kept = getattr(desired, field)
        for name, value in getattr(current, field).items():
            if name not in kept:
                yield TopologyChange(kind=Kind.DELETE, noun=noun, name=name, before=value)


def as_change(leftover: Leftover) -> TopologyChange:
    """The change that a leftover stands for: it goes."""
    name = f"of {leftover.sync} on {leftover.database.name}"
    return TopologyChange(kind=Kind.DELETE, noun="leftover", name=name, before=leftover)


def same(one: Declared | Leftover | None, other: Declared | Leftover | None) -> bool:
    """Whether two values declare the same; the ids that the catalog gives to databases do not count."""
    if isinstance(one, Database) and isinstance(other, Database):
        return replace(one, id=0, options=dict(one.options)) == replace(other, id=0, options=dict(other.options))
    return one == other


def changed(topology: Topology, plan_of_changes: Iterable[TopologyChange]) -> Topology:
    """The topology with changes made to it. Raises InvalidTopology if it is not the one that they were planned for."""
    fields: dict[str, dict[str, Any]] = {field: dict(getattr(topology, field)) for field in NOUNS.values()}
    for change in plan_of_changes:
        if change.noun not in NOUNS:
            continue
        objects = fields[NOUNS[change.noun]]
        if not same(objects.get(change.name), change.before):
            raise InvalidTopology(f"{change.object} was changed meanwhile by someone else.", hint="Plan again.")
        objects.pop(change.name, None)
        if change.after is not None:
            objects[change.name] = change.after
    return Topology(**fields)


def leftovers(current: Topology, desired: Topology) -> list[Leftover]:
    """What the step from `current` to `desired` leaves on nodes: positions on targets, logs where changes were read."""
    return [*_stale_positions(current, desired), *_stale_logs(current, desired)]


def _stale_positions(current: Topology, desired: Topology) -> Iterator[Leftover]:
    for sync in current.syncs.values():
        still = desired.syncs.get(sync.name)
        ends = {(a.name, b.name) for a, b in _followed(desired, still)} if still else set()
        kept = desired.herds[still.herd].tables if still else ()
        lost = tuple(table for table in current.herds[sync.herd].tables if table not in kept)
        for source, target in _followed(current, sync):
            if (source.name, target.name) not in ends:
                yield Leftover(database=target, sync=sync.name, source=source.name)
            elif lost:
                yield Leftover(database=target, sync=sync.name, source=source.name, tables=lost)


def _followed(topology: Topology, sync: Sync) -> list[tuple[Database, Database]]:
    """Where a sync may have left positions: source and target. A slave of a swap has its lead's, whoever that is now.

    So where the lead becomes another master, what it kept of the former is no leftover: it goes on by it.
    """
    pairs = topology.pairs(sync)
    if sync.type is not SyncType.SWAP:
        return pairs
    led = [(a, topology.databases[name]) for a in topology.masters(sync) for name in topology.slaves(sync)]
    return [*pairs, *(pair for pair in led if pair not in pairs)]


def _stale_logs(current: Topology, desired: Topology) -> Iterator[Leftover]:
    for sync in current.syncs.values():
        for reader in current.masters(sync):
            before = needs(current, reader.name)
            after = needs(desired, reader.name)
            tables = current.herds[sync.herd].tables
            lost = tuple(table for table in tables if not before[table].kinds <= after.get(table, Need()).kinds)
            if lost:
                yield Leftover(database=reader, sync=sync.name, tables=lost)

"""`bucardo_ctl add sync`: declares a sync, and has its sources note changes from this moment on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from replicator.bucardo import goats
from replicator.bucardo.beginning import begin
from replicator.bucardo.declaring import converge, existing, new
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.herds import with_rules
from replicator.bucardo.session import Session, missing
from replicator.bucardo.syncs import IDLE, SHOWN, split
from replicator.errors import UsageError
from replicator.model import CopyMethod, Herd, OneTimeCopy, Sync, SyncType, Topology


def add(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Add one. Raises what is wrong with the line, the herd, the tables or the servers."""
    if len(words) > 1:
        raise UsageError(f'Not understood: "{words[1]}". See `bucardo_ctl help add sync`.')
    pairs = {**session.line.pairs, **({"db": db} if (db := session.line.options.get("db")) else {})}
    fields, kept = split(pairs)
    kind = type_of(pairs)
    current, herd = _with_herd(session, session.topology, pairs, words[0])
    targets = _targets(current, pairs)
    defaults: dict[str, Any] = {
        "onetimecopy": OneTimeCopy.OFF,
        "copymethod": CopyMethod.DELETE,
        "ddl": session.habits.ddl,
    }
    sync = Sync(name=words[0], type=kind, herd=herd.name, targets=targets, **{**defaults, **fields})
    desired = with_rules(new(current, "sync", sync), goats.all_goats(session))
    if kind is SyncType.SWAP:
        desired = _decided(desired, desired.syncs[sync.name], "strategy" in fields)
    converge(session, desired)
    keep(session, sync.name, kept)
    begin(session, sync.name)
    session.say(f'Added sync "{sync.name}"')


def keep(session: Session, name: str, options: Mapping[str, str]) -> None:
    """Keep options of a sync: those that `status` heeds, those whose value is the default, and those without effect."""
    quiet = {key for key, value in options.items() if key in SHOWN or IDLE[key] == value}
    for key in quiet:
        session.catalog.set_habit("sync", name, key, options[key])
    session.keep("sync", name, {key: value for key, value in options.items() if key not in quiet})


def type_of(pairs: Mapping[str, str]) -> SyncType:
    """What `type=` says. Raises UsageError."""
    text = pairs.get("type", pairs.get("synctype"))
    if not text:
        raise UsageError("Must specify a type for the sync: type=pushdelta, type=fullcopy or type=swap")
    try:
        return SyncType(text.lower())
    except ValueError:
        raise UsageError(f'Invalid type for a sync: "{text}" (pushdelta, fullcopy or swap expected)') from None


def _with_herd(session: Session, current: Topology, pairs: Mapping[str, str], sync: str) -> tuple[Topology, Herd]:
    """The herd that the sync is to move; one of the sync's name is made of `tables=`."""
    source, tables = pairs.get("source"), pairs.get("tables")
    if bool(source) == bool(tables):
        raise UsageError("Must specify a source herd: source=HERD (or tables=A,B, which makes one)")
    if source:
        if source not in current.herds:
            raise missing("herd", source)
        return current, current.herds[source]
    found = goats.found(session, duplicate_free([str(tables)]), pairs.get("db"))
    places = {goat.db for goat in found}
    if len(places) > 1:
        raise UsageError(f"The tables of a sync must be of one database, not of {', '.join(sorted(places))}")
    herd = Herd(
        name=sync,
        database=places.pop(),
        tables=tuple(goat.table for goat in found if goat.kind == "table"),
        sequences=tuple(goat.table for goat in found if goat.kind == "sequence"),
    )
    return new(current, "herd", herd), herd


def _targets(current: Topology, pairs: Mapping[str, str]) -> tuple[str, ...]:
    database, group = pairs.get("targetdb"), pairs.get("targetgroup")
    if bool(database) == bool(group):
        raise UsageError("Must specify one target: targetdb=DATABASE or targetgroup=GROUP")
    existing(current, "db" if database else "dbgroup", str(database or group))
    return (str(database or group),)


def _decided(desired: Topology, sync: Sync, has_rule: bool) -> Topology:
    """A swap as 4.5 allows it: between two, every table with a way to handle conflicts. Raises UsageError."""
    if len(desired.targets(sync)) > 1:
        raise UsageError(f'Sync "{sync.name}": a swap has one target database; targets in a group are for copies')
    herd = desired.herds[sync.herd]
    without = [f"{t.schema}.{t.name}" for t in herd.tables if t not in dict(sync.strategies)]
    if without and not has_rule:
        raise UsageError(
            f"Table {', '.join(without)}: must specify a way to handle conflicts: standard_conflict= of the table"
            " (update table) or of the sync"
        )
    return replace(desired, syncs={**desired.syncs, sync.name: sync})

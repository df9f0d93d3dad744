"""`bucardo_ctl update sync`: its options, and the tables of its herd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from replicator.bucardo import herds
from replicator.bucardo.commands.add_sync import keep, type_of
from replicator.bucardo.commands.update import say_changes
from replicator.bucardo.declaring import converge, existing, with_value
from replicator.bucardo.session import Session
from replicator.bucardo.syncs import as_columns, split
from replicator.errors import UsageError
from replicator.model import Sync, Topology


def update(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """`update sync S col=value ...`, `update sync S add|remove table T ...`."""
    name, *rest = words
    current = session.topology
    sync: Sync = existing(current, "sync", name)
    if rest:
        _change_tables(session, current, sync, rest)
        return
    if not session.line.pairs:
        raise UsageError("Usage: update sync NAME name=value ...")
    fields, kept = split(session.line.pairs)
    before: dict[str, Any] = dict(as_columns(sync, session.catalog.habits().get(("sync", name), {})))
    changed = replace(sync, **fields, **_moved(session, current, sync))
    converge(session, with_value(current, changed))
    keep(session, name, kept)
    after: dict[str, Any] = dict(as_columns(changed, session.catalog.habits().get(("sync", name), {})))
    say_changes(session, "sync", name, before, after)


def _moved(session: Session, current: Topology, sync: Sync) -> dict[str, Any]:
    """What the pairs say of type, herd and target."""
    pairs = session.line.pairs
    if "name" in pairs and pairs["name"] != sync.name:
        raise UsageError("A sync cannot be renamed: remove it, and add it under its new name")
    fields: dict[str, Any] = {}
    if "type" in pairs or "synctype" in pairs:
        fields["type"] = type_of(pairs)
    if "source" in pairs:
        fields["herd"] = existing(current, "herd", pairs["source"]).name
    for key, noun in (("targetdb", "db"), ("targetgroup", "dbgroup")):
        if key in pairs:
            fields["targets"] = (existing(current, noun, pairs[key]).name,)
    return fields


def _change_tables(session: Session, current: Topology, sync: Sync, words: Sequence[str]) -> None:
    verb, *rest = words
    nouns = ("table", "tables", "sequence", "sequences")
    if verb.lower() not in ("add", "remove") or len(rest) < 2 or rest[0].lower() not in nouns:
        raise UsageError("Usage: update sync NAME add|remove table TABLE ...")
    herds.change(session, current.herds[sync.herd], verb, rest[1:], f'sync "{sync.name}"')

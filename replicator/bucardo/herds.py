"""Relations join herds, and a herd comes into being with its first relation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from replicator.bucardo import goats
from replicator.bucardo.declaring import converge, good_name, with_value
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.session import Session
from replicator.catalog import Goat
from replicator.cli.tables import extended, reduced
from replicator.errors import UsageError
from replicator.model import Herd, SyncType, Topology


def put(session: Session, name: str, database: str, members: Sequence[Goat]) -> list[str]:
    """Put relations into a herd, made if there is none; what is said of that. Raises UsageError, InvalidTopology."""
    good_name("herd", name)
    current = session.topology
    herd = current.herds.get(name)
    made = herd is None
    if herd is None:
        herd = Herd(name=name, database=database)
    if herd.database != database:
        raise UsageError(f'Herd "{name}" is of database "{herd.database}", not of "{database}"')
    for kind in ("table", "sequence"):
        herd = extended(herd, kind, [goat.table for goat in members if goat.kind == kind])
    converge(session, with_rules(with_value(current, herd), members))
    said = [f"Creating herd: {name}"] if made else []
    return [*said, *(f'Added {goat.kind} "{goats.spelt(goat)}" to herd "{name}"' for goat in members)]


def change(session: Session, herd: Herd, verb: str, relations: Sequence[str], of: str) -> None:
    """Let relations join or leave a herd, and say so. verb: add or remove; of: whose they are, as is said."""
    found = goats.found(session, duplicate_free(relations), herd.database)
    adds = verb.lower() == "add"
    for kind in ("table", "sequence"):
        mine = [goat.table for goat in found if goat.kind == kind]
        herd = extended(herd, kind, mine) if adds else reduced(herd, kind, mine)
    converge(session, with_rules(with_value(session.topology, herd), found))
    for goat in found:
        session.catalog.add_goat(goat)
        done, whither = ("Added", "to") if adds else ("Removed", "from")
        session.say(f'{done} {goat.kind} "{goats.spelt(goat)}" {whither} {of}')


def with_rules(topology: Topology, members: Sequence[Goat]) -> Topology:
    """The topology whose swaps decide conflicts of these tables as their goats say. Pure."""
    own = {(goat.db, goat.table): goat.conflict for goat in members if goat.kind == "table" and goat.conflict}
    syncs = dict(topology.syncs)
    for sync in topology.syncs.values():
        herd = topology.herds[sync.herd]
        rules = dict(sync.strategies)
        rules |= {table: own[herd.database, table] for table in herd.tables if (herd.database, table) in own}
        if sync.type is SyncType.SWAP:
            syncs[sync.name] = replace(sync, strategies=tuple(sorted(rules.items())))
    return replace(topology, syncs=syncs)

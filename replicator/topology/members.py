"""A database more, or less, in a sync or a dbgroup: the topology that this makes of another one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from replicator.errors import NotFound, UsageError
from replicator.model import DbGroup, Herd, Role, Sync, SyncType, Topology


def with_members(group: DbGroup, names: Collection[str], roles: Mapping[str, Role]) -> DbGroup:
    """The group with members more, and with these roles. A member stays where it is in the list."""
    return replace(group, members=tuple(dict.fromkeys([*group.members, *names])), roles={**group.roles, **roles})


def without_members(group: DbGroup, names: Collection[str]) -> DbGroup:
    """The group without some members and their roles."""
    roles = {name: role for name, role in group.roles.items() if name not in names}
    return replace(group, members=tuple(name for name in group.members if name not in names), roles=roles)


def affected(topology: Topology, place: str) -> list[Sync]:
    """The syncs that a sync or a dbgroup of that name stands for. Raises NotFound, and UsageError if it is both."""
    users = [sync for sync in topology.syncs.values() if place in sync.targets]
    if place in topology.syncs and place in topology.dbgroups:
        raise UsageError(
            f"{place} is a sync and a dbgroup; use `replicator update dbgroup {place} ...` for the latter."
        )
    if place in topology.syncs:
        return [topology.syncs[place]]
    if place in topology.dbgroups:
        return users
    known = ", ".join(sorted({*topology.syncs, *topology.dbgroups})) or "none"
    raise NotFound(f"no sync or dbgroup is called {place!r}; known: {known}.")


def with_node(topology: Topology, place: str, database: str, role: Role | None) -> Topology:
    """The topology with a database in a sync or a dbgroup. Raises NotFound, UsageError.

    In a sync it goes into the dbgroup that is this sync's alone, if there is one; else it becomes a target by itself,
    or, as a slave of a swap, a member of a dbgroup that is made for such.
    """
    syncs = affected(topology, place)
    if database not in topology.databases:
        known = ", ".join(sorted(topology.databases)) or "none"
        raise NotFound(f"no database is called {database!r}; known: {known}.", hint="Declare it: `replicator add db`.")
    roles = {database: role} if role else {}
    if place in topology.dbgroups:
        return _with_group(topology, with_members(topology.dbgroups[place], [database], roles))
    (sync,) = syncs
    if database in {member.name for member in topology.members(sync)} and role in (
        None,
        _role(topology, sync, database),
    ):
        return topology
    if role is Role.SOURCE and sync.type is not SyncType.SWAP:
        raise UsageError(f"sync {place} is a {sync.type}, which has one source; make it a swap first.")
    own = [group for group in _groups(topology, sync) if _users(topology, group) == [place]]
    if len(own) == 1:
        return _with_group(topology, with_members(own[0], [database], roles))
    if role is Role.TARGET and sync.type is SyncType.SWAP:
        return _with_slave(topology, sync, database)
    return _with_sync(topology, replace(sync, targets=(*sync.targets, database)))


def with_lead(topology: Topology, herd: Herd) -> Topology:
    """The topology with a herd as it is now, perhaps on another database: a master of its swaps stays one."""
    former = topology.herds[herd.name].database
    moved = replace(topology, herds={**topology.herds, herd.name: herd})
    for sync in topology.syncs.values():
        if sync.type is not SyncType.SWAP or sync.herd != herd.name:
            continue
        if former not in {member.name for member in moved.members(sync)}:
            moved = _with_sync(moved, replace(sync, targets=(*sync.targets, former)))
    return moved


def without_node(topology: Topology, place: str, database: str) -> Topology:
    """The topology without a database in a sync or a dbgroup. Raises NotFound, UsageError.

    Where a swap's herd lives on it, the herd moves to the next master. A dbgroup that becomes empty leaves the sync.
    """
    syncs = affected(topology, place)
    group = topology.dbgroups.get(place)
    members = group.members if group else tuple(member.name for member in topology.members(syncs[0]))
    if database not in members:
        raise NotFound(f"{database} takes no part in {place}; members: {', '.join(members)}.")
    for sync in syncs:
        if topology.herds[sync.herd].database == database:
            topology = _with_another_lead(topology, sync, syncs)
    if group:
        return _with_group(topology, without_members(group, [database]))
    sync = syncs[0]
    targets = [name for name in sync.targets if name != database]
    for group in _groups(topology, sync):
        if database not in group.members:
            continue
        if others := [name for name in _users(topology, group) if name != place]:
            raise UsageError(
                f"{database} is a member of dbgroup {group.name}, which sync {', '.join(others)} writes to as well;"
                f" take it out of all: `replicator remove-node {group.name} {database}`."
            )
        smaller = without_members(group, [database])
        topology = _with_group(topology, smaller)
        if not smaller.members:
            targets.remove(group.name)
            topology = replace(
                topology, dbgroups={name: one for name, one in topology.dbgroups.items() if name != group.name}
            )
    if not targets:
        raise UsageError(f"{database} is the only target of sync {place}; `replicator remove sync {place}` ends it.")
    return _with_sync(topology, replace(sync, targets=tuple(targets)))


def _with_another_lead(topology: Topology, sync: Sync, syncs: Sequence[Sync]) -> Topology:
    """The topology with a swap's herd on the next of its masters."""
    herd = topology.herds[sync.herd]
    if sync.type is not SyncType.SWAP:
        raise UsageError(f"{herd.database} is the source of sync {sync.name}; `replicator remove sync` ends it.")
    others = [other.name for other in topology.syncs.values() if other.herd == herd.name and other not in syncs]
    if others:
        raise UsageError(
            f"herd {herd.name} of sync {sync.name} lives on {herd.database} and is moved by sync {', '.join(others)} as"
            " well; give that one a herd of its own first."
        )
    masters = [master.name for master in topology.masters(sync) if master.name != herd.database]
    if len(masters) < 2:
        raise UsageError(
            f"sync {sync.name} would be left with {len(masters)} master; `replicator remove sync {sync.name}` ends it."
        )
    return replace(topology, herds={**topology.herds, herd.name: replace(herd, database=masters[0])})


def _role(topology: Topology, sync: Sync, database: str) -> Role:
    return Role.TARGET if database in topology.slaves(sync) else Role.SOURCE


def _groups(topology: Topology, sync: Sync) -> list[DbGroup]:
    return [topology.dbgroups[target] for target in sync.targets if target in topology.dbgroups]


def _users(topology: Topology, group: DbGroup) -> list[str]:
    return [sync.name for sync in topology.syncs.values() if group.name in sync.targets]


def _with_slave(topology: Topology, sync: Sync, database: str) -> Topology:
    name = f"{sync.name}_slaves"
    if name in topology.dbgroups or name in topology.databases:
        raise UsageError(
            f"{name} is something else already; make a dbgroup for the slaves of {sync.name} and add it to its targets."
        )
    group = DbGroup(name=name, members=(database,), roles={database: Role.TARGET})
    return _with_group(_with_sync(topology, replace(sync, targets=(*sync.targets, name))), group)


def _with_group(topology: Topology, group: DbGroup) -> Topology:
    return replace(topology, dbgroups={**topology.dbgroups, group.name: group})


def _with_sync(topology: Topology, sync: Sync) -> Topology:
    return replace(topology, syncs={**topology.syncs, sync.name: sync})

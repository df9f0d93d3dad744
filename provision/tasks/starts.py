"""Which databases begin with rows, and which get theirs by replication. Pure."""

from __future__ import annotations

from provision.inventory import ReplicationSettings, Role, SyncType


def starts_with_data(declared: ReplicationSettings) -> frozenset[str]:
    """The databases (nicknames) that are filled: one of those that syncs join, and every one that no sync joins.

    It is one that others copy from and that is itself nobody's copy; where there is none such (two masters only), the
    one that a swap's herd lies on.
    """
    groups = _joined(declared)
    return frozenset(_first(declared, group) for group in groups)


def members(declared: ReplicationSettings, sync: str) -> list[str]:
    """The databases of a sync: its source first, then its targets, groups resolved."""
    settings = declared.syncs[sync]
    targets = [name for target in settings.targets for name in declared.dbgroups.get(target, (target,))]
    return list(dict.fromkeys([declared.herds[settings.source].database, *targets]))


def slaves(declared: ReplicationSettings, sync: str) -> set[str]:
    """The members of a sync that are written only."""
    settings = declared.syncs[sync]
    if settings.type is not SyncType.SWAP:
        return set(members(declared, sync)[1:])
    groups = [declared.dbgroups[target] for target in settings.targets if target in declared.dbgroups]
    return {name for group in groups for name, role in group.items() if role is Role.TARGET}


def replicated(declared: ReplicationSettings, database: str) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The tables and sequences of a database that syncs read or write (None: all), and what `all` leaves out."""
    named: dict[str, None] = {}
    excluded: dict[str, None] = {}
    everything = False
    for name, sync in declared.syncs.items():
        if database in members(declared, name):
            herd = declared.herds[sync.source]
            for relations in (herd.tables, herd.sequences):
                if relations == "all":
                    everything = True
                    excluded.update(dict.fromkeys(herd.exclude))
                else:
                    named.update(dict.fromkeys(relations))
    return None if everything else tuple(named), tuple(name for name in excluded if name not in named)


def _joined(declared: ReplicationSettings) -> list[list[str]]:
    group_of = {name: {name} for name in declared.databases}
    for sync in declared.syncs:
        union = set().union(*(group_of[name] for name in members(declared, sync)))
        for name in union:
            group_of[name] = union
    distinct = {id(group): group for group in group_of.values()}
    return [[name for name in declared.databases if name in group] for group in distinct.values()]


def _first(declared: ReplicationSettings, group: list[str]) -> str:
    sources, copies, leads = set(), set(), set()
    for sync, settings in declared.syncs.items():
        source, *targets = members(declared, sync)
        if settings.type is SyncType.SWAP:
            leads.add(source)
        else:
            sources.add(source)
            copies.update(targets)
    for candidates in (sources - copies, leads - copies, sources, leads):
        found = [name for name in group if name in candidates]
        if found:
            return found[0]
    return group[0]

"""A database more, or less, in a sync or a dbgroup: the topology that this makes of another one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from replicator.errors import UsageError
from replicator.model import Database, DbGroup, Herd, Role, Sync, SyncType, Topology


def with_members(group: DbGroup, names: Collection[str], roles: Mapping[str, Role]) -> DbGroup:
    """The group with members more, and with these roles. A member stays where it is in the list."""
    return replace(group, members=tuple(dict.fromkeys([*group.members, *names])), roles={**group.roles, **roles})


def without_members(group: DbGroup, names: Collection[str]) -> DbGroup:
    """The group without some members and their roles."""
    roles = {name: role for name, role in group.roles.items() if name not in names}
    return replace(group, members=tuple(name for name in group.members if name not in names), roles=roles)

"""Databases join groups, and groups come into being with their first database. Pure."""

from __future__ import annotations

from dataclasses import replace

from replicator.bucardo.declaring import good_name, with_value
from replicator.errors import UsageError
from replicator.model import DbGroup, Topology


def grouped(current: Topology, group: str, database: str) -> tuple[Topology, list[str]]:
    """The topology with a database in a group, made if there is none; and what is said of it. Raises UsageError."""
    good_name("database group", group)
    before = current.dbgroups.get(group)
    if before is None:
        made = DbGroup(name=group, members=(database,))
        return with_value(current, made), [f'Added new database group "{group}"', _joined(database, group)]
    if database in before.members:
        raise UsageError(f'Database "{database}" is already in group "{group}"')
    return with_value(current, replace(before, members=(*before.members, database))), [_joined(database, group)]


def _joined(database: str, group: str) -> str:
    return f'Added database "{database}" to group "{group}"'

"""The declared topology as the catalog's rows: values to rows, rows to values, and refusals to sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from replicator.errors import AlreadyExists, InvalidTopology, ReplicatorError
from replicator.hook import Hook, Moment
from replicator.model import (
    Capture,
    CopyMethod,
    Database,
    DbGroup,
    Ddl,
    Herd,
    Numbers,
    OneTimeCopy,
    Role,
    Sync,
    SyncType,
    TableName,
    Topology,
)

Declared = Database | DbGroup | Herd | Sync

USERS = {
    "dbgroup_member": "a dbgroup still lists it",
    "herd": "a herd still lives on it",
    "sync": "a sync still moves it",
    "sync_target": "a sync still writes to it",
}
"""Who holds on to a row that is to go, by the table that refers to it."""


def values(value: Declared) -> dict[str, object]:
    """The parameters of the queries that write a value."""
    match value:
        case Database():
            return {**vars(value), "options": Jsonb(dict(value.options))}
        case DbGroup():
            roles = [value.roles.get(name) for name in value.members]
            return {"name": value.name, "members": list(value.members), "roles": roles}
        case Herd():
            return {"name": value.name, "database": value.database, **_members(value)}
        case Sync():
            own = [[table.schema, table.name, strategy] for table, strategy in value.strategies]
            lists = {"targets": list(value.targets), "counters": list(value.counters), "strategies": Jsonb(own)}
            hooks = [vars(hook) for hook in value.hooks]
            return {**vars(value), **lists, "hooks": Jsonb(hooks)}


def _members(herd: Herd) -> dict[str, object]:
    kinds = ["table"] * len(herd.tables) + ["sequence"] * len(herd.sequences)
    relations = [*herd.tables, *herd.sequences]
    return {
        "kinds": kinds,
        "ordinals": [*range(1, len(herd.tables) + 1), *range(1, len(herd.sequences) + 1)],
        "schemas": [relation.schema for relation in relations],
        "names": [relation.name for relation in relations],
    }


def topology(
    databases: Sequence[Mapping[str, Any]],
    dbgroups: Sequence[Mapping[str, Any]],
    herds: Sequence[Mapping[str, Any]],
    syncs: Sequence[Mapping[str, Any]],
) -> Topology:
    """The topology that a row of the query `topology` holds."""
    return Topology(
        databases={row["name"]: _database(row) for row in databases},
        dbgroups={row["name"]: _dbgroup(row) for row in dbgroups},
        herds={row["name"]: _herd(row) for row in herds},
        syncs={row["name"]: _sync(row) for row in syncs},
    )


def _database(row: Mapping[str, Any]) -> Database:
    return Database(**{**row, "capture": Capture(row["capture"])})


def _dbgroup(row: Mapping[str, Any]) -> DbGroup:
    roles = {name: Role(role) for name, role in row["members"] if role}
    return DbGroup(name=row["name"], members=tuple(name for name, _ in row["members"]), roles=roles)


def _herd(row: Mapping[str, Any]) -> Herd:
    named = {
        kind: tuple(TableName(schema, name) for its, schema, name in row["members"] if its == kind)
        for kind in ("table", "sequence")
    }
    return Herd(name=row["name"], database=row["database"], tables=named["table"], sequences=named["sequence"])


def _sync(row: Mapping[str, Any]) -> Sync:
    seconds = row["checktime"]
    read = {
        "type": SyncType(row["type"]),
        "strategies": tuple((TableName(schema, name), text) for schema, name, text in row["strategies"]),
        "counters": tuple(row["counters"]),
        "sequences": Numbers(row["sequences"]),
        "onetimecopy": OneTimeCopy(row["onetimecopy"]),
        "copymethod": CopyMethod(row["copymethod"]),
        "ddl": Ddl(row["ddl"]),
        "checktime": timedelta(seconds=seconds) if seconds is not None else None,
        "targets": tuple(row["targets"]),
        "hooks": tuple(_hook(hook) for hook in row["hooks"]),
    }
    return Sync(**{**row, **read})


def _hook(row: Mapping[str, Any]) -> Hook:
    return Hook(**{**row, "moment": Moment(row["moment"]), "tables": tuple(row["tables"])})


def refusal(error: psycopg.IntegrityError, noun: str, name: str) -> ReplicatorError:
    """The sentence for a constraint that a change of the object `noun` `name` would have broken."""
    if isinstance(error, psycopg.errors.UniqueViolation) and error.diag.constraint_name in _NAMES:
        return AlreadyExists(f"{noun} {name}: there is one of that name already; update it, or choose another name.")
    detail = error.diag.message_detail or str(error)
    if "still referenced" in detail:
        return InvalidTopology(f"{noun} {name}: {USERS[str(error.diag.table_name)]}; remove that first.")
    return InvalidTopology(f"{noun} {name}: the catalog refuses it ({error.diag.constraint_name}): {detail}")


_NAMES = ("db_name_once", "dbgroup_pkey", "herd_pkey", "sync_pkey")

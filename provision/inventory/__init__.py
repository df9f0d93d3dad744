"""Reads an inventory as Ansible users write it, and says everything that is wrong with it at once, with file and line.

`load` is the way in; it returns an `Inventory` of `Host`s. It only reads: nothing is connected to, no secret fetched.
"""

from provision.inventory.access import PGBENCH_ROLE, HbaRule, hba_rules
from provision.inventory.loading import load
from provision.inventory.marks import Mark, Origin, SecretSource
from provision.inventory.model import Become, ConnectionKind, Host, HostKeys, Inventory, Notice
from provision.inventory.settings import (
    AccessRule,
    Auth,
    CatalogSettings,
    CopyMethod,
    DatabaseSettings,
    HerdSettings,
    InitdbSettings,
    MakeDelta,
    OneTimeCopy,
    PgbenchSettings,
    PostgresqlSettings,
    ReplicationSettings,
    Source,
    SyncSettings,
    SyncType,
)

__all__ = [
    "PGBENCH_ROLE",
    "AccessRule",
    "Auth",
    "Become",
    "CatalogSettings",
    "ConnectionKind",
    "CopyMethod",
    "DatabaseSettings",
    "HbaRule",
    "HerdSettings",
    "Host",
    "HostKeys",
    "InitdbSettings",
    "Inventory",
    "MakeDelta",
    "Mark",
    "Notice",
    "OneTimeCopy",
    "Origin",
    "PgbenchSettings",
    "PostgresqlSettings",
    "ReplicationSettings",
    "SecretSource",
    "Source",
    "SyncSettings",
    "SyncType",
    "hba_rules",
    "load",
]

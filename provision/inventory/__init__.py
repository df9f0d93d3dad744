"""Reads an inventory as Ansible users write it, and says everything that is wrong with it at once, with file and line.

`load` is the way in; it returns an `Inventory` of `Host`s. It only reads: nothing is connected to, no secret fetched.
"""

from provision.inventory.access import PGBENCH_ROLE, HbaRule, hba_rules
from provision.inventory.loading import load
from provision.inventory.marks import Mark, Origin, SecretSource
from provision.inventory.model import Become, ConnectionKind, Host, HostKeys, Inventory, Notice, Tls
from provision.inventory.replication import (
    CONTROL,
    Capture,
    CatalogSettings,
    CopyMethod,
    DatabaseSettings,
    HerdSettings,
    HookSettings,
    MakeDelta,
    Numbers,
    OneTimeCopy,
    ReplicationSettings,
    Role,
    SyncSettings,
    SyncType,
)
from provision.inventory.runner import runner
from provision.inventory.settings import AccessRule, Auth, InitdbSettings, PgbenchSettings, PostgresqlSettings, Source
from provision.inventory.system import NtpSettings, PgdgSettings, RepositorySettings, SnmpSettings, SystemSettings

__all__ = [
    "CONTROL",
    "PGBENCH_ROLE",
    "AccessRule",
    "Auth",
    "Become",
    "Capture",
    "CatalogSettings",
    "ConnectionKind",
    "CopyMethod",
    "DatabaseSettings",
    "HbaRule",
    "HerdSettings",
    "HookSettings",
    "Host",
    "HostKeys",
    "InitdbSettings",
    "Inventory",
    "MakeDelta",
    "Mark",
    "Notice",
    "NtpSettings",
    "Numbers",
    "OneTimeCopy",
    "Origin",
    "PgbenchSettings",
    "PgdgSettings",
    "PostgresqlSettings",
    "ReplicationSettings",
    "RepositorySettings",
    "Role",
    "SecretSource",
    "SnmpSettings",
    "Source",
    "SyncSettings",
    "SyncType",
    "SystemSettings",
    "Tls",
    "hba_rules",
    "load",
    "runner",
]

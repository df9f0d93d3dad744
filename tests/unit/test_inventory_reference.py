"""docs/reference/inventory.md names every key that an inventory may have, and none that it may not."""

from __future__ import annotations

import re
from pathlib import Path

from provision.inventory import reach, replication, settings, system, tls
from provision.inventory.values import Section
from provision.inventory.variables import OWN

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "inventory.md").read_text()
TABLED: list[type[Section]] = [
    reach.SshSettings,
    reach.BecomeSettings,
    tls.TlsSettings,
    settings.PostgresqlSettings,
    settings.AccessRule,
    settings.PgbenchSettings,
    system.RepositorySettings,
    system.PgdgSettings,
    system.NtpSettings,
    system.SnmpSettings,
    replication.ReplicationSettings,
    replication.DatabaseSettings,
    replication.HerdSettings,
    replication.SyncSettings,
    replication.HookSettings,
]
INLINE: list[type[Section]] = [settings.InitdbSettings, replication.CatalogSettings]


def keys(section: type[Section]) -> set[str]:
    return {field.alias or name for name, field in section.model_fields.items()}


def tables() -> list[set[str]]:
    """The first column of each table that has keys or variables in it."""
    found = re.findall(r"^\| (?:key|variable) \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [set(re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)) for rows in found]


def test_every_section_has_its_table() -> None:
    (host, *sections) = tables()
    (inventory,) = [table for table in sections if "state_dir" in table]
    sections.remove(inventory)
    assert sections == [keys(section) for section in TABLED]
    assert host | inventory == set(OWN)


def test_small_sections_are_named_in_the_text() -> None:
    missing = {key for section in INLINE for key in keys(section) if key not in TEXT}
    assert not missing


def test_every_choice_is_named() -> None:
    kinds = [
        settings.Auth,
        settings.Source,
        replication.Capture,
        replication.SyncType,
        replication.STRATEGIES,
        replication.CopyMethod,
        replication.Numbers,
    ]
    missing = [
        value
        for kind in [*kinds, replication.OneTimeCopy, replication.MakeDelta, replication.Moment]
        for value in kind
        if f"`{value}`" not in TEXT
    ]
    assert not missing


def test_variables_of_ansible_are_named() -> None:
    preferred = [names[-1] for section in reach.FROM_ANSIBLE.values() for names in section.values()]
    assert not [name for name in preferred if f"`{name}`" not in TEXT]

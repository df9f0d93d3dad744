"""The replication section of an inventory as the replicator's own nouns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from provision.inventory import HerdSettings, HookSettings, Inventory, MakeDelta, ReplicationSettings, SyncSettings
from provision.tasks import tls
from provision.tasks.starts import members, slaves
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
    Strategy,
    Sync,
    SyncType,
    TableName,
    Topology,
)

Resolve = Callable[[Database, str], list[TableName]]
"""All of a kind (`tables`, `sequences`) in a database, asked live: what `tables: all` stands for."""


def topology(inventory: Inventory, declared: ReplicationSettings, resolve: Resolve) -> Topology:
    """What the inventory declares. Raises what `resolve` does."""
    databases = _databases(inventory, declared)
    herds = {name: _herd(name, settings, databases, resolve) for name, settings in declared.herds.items()}
    syncs = {name: _sync(name, settings) for name, settings in declared.syncs.items()}
    found = Topology(
        databases=databases,
        dbgroups={name: _dbgroup(name, group) for name, group in declared.dbgroups.items()},
        herds=herds,
        syncs=syncs,
    )
    onward = {name: replace(sync, makedelta=_flows_onward(found, declared, name)) for name, sync in syncs.items()}
    return replace(found, syncs=onward)


def _databases(inventory: Inventory, declared: ReplicationSettings) -> dict[str, Database]:
    found = {}
    for name, settings in declared.databases.items():
        host = inventory.host(settings.host)
        found[name] = Database(
            name=name,
            dbname=settings.dbname or name,
            host=host.address,
            port=host.postgresql.port,
            user=settings.user or declared.role,
            capture=Capture(settings.capture),
            options={**tls.options(inventory, host), **settings.options},
        )
    return found


def _dbgroup(name: str, members: Mapping[str, str | None]) -> DbGroup:
    roles = {member: Role(role) for member, role in members.items() if role}
    return DbGroup(name=name, members=tuple(members), roles=roles)


def _herd(name: str, settings: HerdSettings, databases: Mapping[str, Database], resolve: Resolve) -> Herd:
    excluded = {TableName.parse(table) for table in settings.exclude}
    if settings.tables == "all":
        tables = resolve(databases[settings.database], "tables")
    else:
        tables = [TableName.parse(table) for table in settings.tables]
    if settings.sequences == "all":
        sequences = resolve(databases[settings.database], "sequences")
    else:
        sequences = [TableName.parse(sequence) for sequence in settings.sequences]
    return Herd(
        name=name,
        database=settings.database,
        tables=tuple(table for table in tables if table not in excluded),
        sequences=tuple(sequences),
    )


def _sync(name: str, settings: SyncSettings) -> Sync:
    own = {TableName.parse(table): strategy for table, strategy in settings.strategies.items()}
    return Sync(
        name=name,
        type=SyncType(settings.type),
        herd=settings.source,
        targets=tuple(settings.targets),
        strategy=settings.strategy or Strategy.LATEST,
        strategies=tuple(sorted(own.items())),
        counters=tuple(settings.counters),
        sequences=Numbers(settings.sequences),
        sequence_step=settings.sequence_step,
        autokick=settings.autokick,
        checktime=settings.checktime,
        onetimecopy=OneTimeCopy(settings.onetimecopy),
        copymethod=CopyMethod(settings.copymethod),
        ddl=Ddl(settings.ddl),
        hooks=tuple(_hook(name, hook) for name, hook in settings.hooks.items()),
        paused=settings.paused,
    )


def _hook(name: str, settings: HookSettings) -> Hook:
    return Hook(
        name=name,
        moment=Moment(settings.when),
        call=settings.call,
        tables=tuple(str(TableName.parse(table)) for table in settings.tables),
        seconds=settings.timeout.total_seconds(),
    )


def _flows_onward(found: Topology, declared: ReplicationSettings, name: str) -> bool:
    """Whether what a sync writes is to be read there by others; `auto`: when another sync reads the same tables."""
    wish = declared.syncs[name].makedelta
    if wish is not MakeDelta.AUTO:
        return wish is MakeDelta.YES
    tables = set(found.herds[found.syncs[name].herd].tables)
    written = _written(found, declared, name)
    return any(
        _read(declared, other) & written and tables & set(found.herds[found.syncs[other].herd].tables)
        for other in found.syncs
        if other != name
    )


def _written(found: Topology, declared: ReplicationSettings, name: str) -> set[str]:
    source, *targets = members(declared, name)
    return {source, *targets} if found.syncs[name].type is SyncType.SWAP else set(targets)


def _read(declared: ReplicationSettings, name: str) -> set[str]:
    return set(members(declared, name)) - slaves(declared, name)

"""Whether a host may be wiped because its rows are elsewhere, and what has to be forgotten when it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext, suppress

from provision.change import Note
from provision.errors import HostFailed
from provision.inventory import ReplicationSettings, SyncType
from provision.tasks.node import Site
from provision.tasks.replication.catchup import caught_up
from provision.tasks.replication.daemons import stop_daemon, told_as_ours
from provision.tasks.replication.reach import Reach
from provision.tasks.starts import members, slaves
from replicator import progress
from replicator.catalog import Catalog
from replicator.errors import ConfigError
from replicator.postgres import Connector


class Rebuild:
    """The rebuilding of some hosts of a site."""

    def __init__(self, site: Site, hosts: Collection[str]) -> None:
        self._site = site
        self._hosts = frozenset(hosts)

    def refusals(self) -> list[str]:
        """Why the hosts must not be wiped, a sentence each; empty when all that they hold can be brought back."""
        declared = self._site.inventory.replication
        if declared is None:
            return [
                f"{host}: nothing is replicated from it, so its rows would be gone." for host in sorted(self._hosts)
            ]
        return list(dict.fromkeys([*self._catalog(declared), *self._sources(declared), *self._alone(declared)]))

    def _catalog(self, declared: ReplicationSettings) -> Iterator[str]:
        if declared.catalog.host in self._hosts:
            yield (
                f"{declared.catalog.host} holds the replicator's catalog, by whose numbers the nodes know each other:"
                " rebuild every host together (destroy, then deploy), or move the catalog first."
            )

    def _sources(self, declared: ReplicationSettings) -> Iterator[str]:
        """One-way syncs that read from a host: what its targets hold is a copy, and a copy is not a way back."""
        for name, sync in declared.syncs.items():
            source, *targets = members(declared, name)
            host = declared.databases[source].host
            if sync.type is not SyncType.SWAP and host in self._hosts:
                yield (
                    f"{host} is the source of {name}: wiping it would lose the rows of herd {sync.source}. To go on"
                    f" from a copy, make {targets[0]} the herd's database in the inventory, deploy, then rebuild."
                )

    def _alone(self, declared: ReplicationSettings) -> Iterator[str]:
        """Databases of which no other host has anything; those that others copy from are spoken of already."""
        originals = {
            declared.herds[sync.source].database for sync in declared.syncs.values() if sync.type is not SyncType.SWAP
        }
        joined = {database for name in declared.syncs for database in self._kept_elsewhere(declared, name)}
        for database, settings in declared.databases.items():
            if settings.host in self._hosts and database not in joined | originals:
                yield f"{settings.host}: database {database} is on no other host, so its rows would be gone."

    def _kept_elsewhere(self, declared: ReplicationSettings, sync: str) -> list[str]:
        """The databases of a sync that can be brought back from another that stays."""
        source, *targets = members(declared, sync)
        masters = {source, *targets} - slaves(declared, sync)
        stays = {name for name in masters if declared.databases[name].host not in self._hosts}
        if declared.syncs[sync].type is SyncType.SWAP:
            return [source, *targets] if stays else []
        return targets if source in stays else []

    def part(self, note: Note, stopped: Callable[[], bool], *, force: bool) -> None:
        """Let what the hosts have written arrive elsewhere, stop the daemon, and forget how far others had followed.

        Raises HostFailed. force: what has not arrived is given up.
        """
        with Reach(self._site) as reach:
            try:
                connector = reach.connector()
            except ConfigError:  # it has never been set up
                return
            if self._writes_to_others() and not force:
                self._wait(connector, note, stopped)
            note("stopping the daemon")
            stop_daemon(self._site)
            note("forgetting the old servers")
            with suppress(HostFailed) if force else nullcontext():
                self._forget(connector)

    def _wait(self, connector: Connector, note: Note, stopped: Callable[[], bool]) -> None:
        try:
            with told_as_ours(), Catalog.open(connector, "rebuild") as catalog:
                caught_up(catalog, connector, note, stopped)
        except HostFailed as error:
            raise HostFailed(
                f"not everything that was written on {', '.join(sorted(self._hosts))} is known to have arrived"
                f" elsewhere: {error}",
                hint="Mend that first, or repeat with --force to give up what has not.",
            ) from error

    def _forget(self, connector: Connector) -> None:
        """On nodes that stay. A new server's changes count from the beginning."""
        install = connector.config.install
        with told_as_ours(), Catalog.open(connector, "rebuild") as catalog:
            for link in catalog.topology().all_links(install):
                if self._host(link.source.name) in self._hosts and self._host(link.target.name) not in self._hosts:
                    with connector.open(link.target, "rebuild", autocommit=True) as connection:
                        progress.forget(connection, install, link.sync.name, link.source.name)

    def _host(self, database: str) -> str:
        declared = self._site.inventory.replication
        assert declared is not None
        return declared.databases[database].host if database in declared.databases else ""

    def _writes_to_others(self) -> bool:
        """Whether one of the hosts writes to others."""
        declared = self._site.inventory.replication
        assert declared is not None
        return any(
            sync.type is SyncType.SWAP and any(self._host(name) in self._hosts for name in members(declared, label))
            for label, sync in declared.syncs.items()
        )

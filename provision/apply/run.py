"""What a command is about, and the workers for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provision.apply.hosts import HostWorker, Wants
from provision.apply.stop import Stop
from provision.errors import InputError
from provision.facts import Traits
from provision.inventory import Host, Inventory
from provision.plan import Impossible, Item, items
from provision.tasks import REPLICATION, Site
from provision.tasks.postgresql import shared
from provision.transport import Local, connect

MACHINE = "this machine"
POSTGRESQL = "postgresql"

Begin = Callable[[int | None], HostWorker]
"""Makes the worker of a place, given the descriptor of its lock."""


@dataclass(frozen=True)
class Run:
    """Hosts of a site, tasks, and the wish to stop.

    forks: at how many hosts to be at work at once; 0: all. serial: how many to bring through all of their stages before
    the next ones begin; 0: all together.
    """

    site: Site
    hosts: tuple[Host, ...]
    tasks: tuple[str, ...]
    stop: Stop
    forks: int = 0
    serial: int = 0

    @property
    def inventory(self) -> Inventory:
        """Where the hosts are declared."""
        return self.site.inventory

    @property
    def replicates(self) -> bool:
        """Whether the replicator is part of it."""
        return REPLICATION in self.tasks and self.inventory.replication is not None

    @property
    def host_tasks(self) -> tuple[str, ...]:
        """The tasks that hosts have."""
        return tuple(task for task in self.tasks if task != REPLICATION)

    def stopped(self) -> bool:
        """Whether to begin nothing more."""
        return self.stop.asked

    def lock(self, place: str) -> Path:
        """The lock file of a place."""
        return self.inventory.state_dir / "locks" / place.replace(" ", "-")

    def wanted(self) -> dict[str, tuple[Item, ...]]:
        """What each local host is to have, and each other one as far as it is known.

        Raises InputError; Impossible for local hosts only: another may turn out to be one that can have it.
        """
        self._check_places()
        found = {}
        for host in self.hosts:
            try:
                found[host.name] = items(self.site.node(host), self.tasks)
            except Impossible:
                if host.local:
                    raise
        return found

    def _check_places(self) -> None:
        """Local hosts share a machine, so their data must not share a folder. Raises InputError."""
        taken: dict[str, str] = {}
        for host in (host for host in self.hosts if host.local):
            data = self.site.node(host).server.data
            if data in taken:
                both = f"{taken[data]} and {host.name}"
                raise InputError(f"{both} have one data directory, {data}: give each its own postgresql.data_dir")
            taken[data] = host.name

    def machine_begin(self) -> dict[str, Begin]:
        """What makes the worker for what local hosts have in common; empty when they have nothing."""
        if POSTGRESQL not in self.tasks:
            return {}
        resources = shared([self.site.node(host) for host in self.hosts])
        wanted = [Item(POSTGRESQL, resource) for resource in resources]
        return {MACHINE: lambda lock: HostWorker(MACHINE, wanted, Local(lock), local=True)} if wanted else {}

    def host_begins(self) -> dict[str, Begin]:
        """What makes the workers of the hosts. Raises as `wanted` does."""
        wanted = self.wanted()
        return {
            host.name: partial(self._worker, host, wanted[host.name] if host.local else self._wants(host))
            for host in self.hosts
        }

    def _wants(self, host: Host) -> Wants:
        def of(traits: Traits) -> tuple[Item, ...]:
            return items(self.site.node(host, traits), self.tasks)

        return Wants(self.site.traits(host), of, partial(self.site.learn, host), self.host_tasks)

    def _worker(self, host: Host, wanted: tuple[Item, ...] | Wants, lock: int | None) -> HostWorker:
        return HostWorker(host.name, wanted, connect(host, self.site.keeper, lock), local=host.local)

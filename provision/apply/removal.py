"""Takes back what deploy has made: the daemon, the servers, everything on disk. Of a host of its own the rest stays.

The same machinery as deploying, with resources that want things gone; so it can be killed and run again too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provision.apply.events import Event, PlaceEnded
from provision.apply.hosts import HostWorker
from provision.apply.jobs import Job, together
from provision.apply.lock import held
from provision.apply.places import Tell, Worker, converge, failed
from provision.apply.stop import Stop
from provision.apply.withdrawal import Withdrawal
from provision.errors import ProvisionError
from provision.facts import Server
from provision.inventory import Host
from provision.plan import Item
from provision.resources import AccountGone, Gone, Halted, NoDaemon, NoPackages, Resource
from provision.tasks import Node, Site, replicator
from provision.transport import Local, Transport, connect

TASK = "destroy"
MACHINE = "what they shared"
SHARED = (
    "programs",
    "replicator",
    "wheelhouse",
    "passfile",
    "secrets.yml",
    "secrets.yml.lock",
    "ca",
    "root.crt",
    "traits",
    "logs",
    "failed-hosts",
    "locks",
)
"""What the state directory holds besides the hosts' folders. Nothing else in it is ours to remove."""


@dataclass(frozen=True)
class Removal:
    """The removal of hosts; of everything, when they are all that there are. packages: those of the server too."""

    site: Site
    hosts: tuple[Host, ...]
    stop: Stop
    packages: bool = False

    @property
    def everything(self) -> bool:
        """Whether no host stays."""
        return len(self.hosts) == len(self.site.inventory.hosts)

    @property
    def state_dir(self) -> Path:
        """Where everything is."""
        return self.site.inventory.state_dir

    def remove(self) -> Iterator[Event]:
        """Remove it: the daemon first, then the servers, then what they shared."""
        known = self.state_dir.exists()
        if not known and all(host.local for host in self.hosts):
            return
        yield from self._work()
        if not known:  # what is there now is our own locks
            shutil.rmtree(self.state_dir / "locks", ignore_errors=True)
            with suppress(OSError):
                self.state_dir.rmdir()

    def _work(self) -> Iterator[Event]:
        ended: list[PlaceEnded] = []
        for jobs in self._stages():
            for event in together(jobs, self.stop):
                if isinstance(event, PlaceEnded):
                    ended.append(event)
                yield event
            if any(place.code for place in ended):
                return

    def _stages(self) -> Iterator[list[Job]]:
        if self.everything and self.site.inventory.replication:
            yield [self.job("replication", Withdrawal(self.site))]
        yield [self.host_job(host, self._removed(host)) for host in self.hosts]
        if self.everything and (self.state_dir / "secrets.yml").exists():
            yield [self._locked_job(folder.name, _left_over(folder), TASK, Local) for folder in self._strangers()]
            yield [self._local(MACHINE, self._shared())]

    def _removed(self, host: Host) -> Iterator[Resource]:
        node = self.site.node(host)
        return removed(node) if host.local else removed_from(node, packages=self.packages)

    def job(self, place: str, worker: Worker) -> Job:
        """A job that brings a worker's place to where it is wanted."""

        def work(tell: Tell) -> None:
            converge(worker, tell, self.stop)

        return Job(place, work)

    def host_job(self, host: Host, wanted: Iterable[Resource], task: str = TASK) -> Job:
        """The same for a host, under its lock."""
        return self._locked_job(host.name, wanted, task, partial(connect, host, self.site.keeper))

    def _locked_job(
        self, place: str, wanted: Iterable[Resource], task: str, reach: Callable[[int | None], Transport]
    ) -> Job:
        items = [Item(task, resource) for resource in wanted]

        def work(tell: Tell) -> None:
            try:
                with held(self.state_dir / "locks" / place, lambda: self.stop.asked) as lock:
                    worker = HostWorker(place, items, reach(lock), local=False)
                    try:
                        converge(worker, tell, self.stop)
                    finally:
                        worker.close()
            except ProvisionError as error:
                tell(failed(place, (task,), error))

        return Job(place, work)

    def _local(self, place: str, wanted: Iterable[Resource]) -> Job:
        items = [Item(TASK, resource) for resource in wanted]
        return self.job(place, HostWorker(place, items, Local(), local=False))

    def _strangers(self) -> Sequence[Path]:
        """Folders of hosts that the inventory no longer has."""
        names = {host.name for host in self.site.inventory.hosts}
        found = [path.parent.parent for path in self.state_dir.glob("*/data/PG_VERSION")]
        return [folder for folder in found if folder.name not in names]

    def _shared(self) -> Iterator[Resource]:
        for name in SHARED:
            yield Gone(str(self.state_dir / name))
        yield Gone(str(self.state_dir), if_empty=True)
        if self.state_dir.parent.name == "pgherd":
            yield Gone(str(self.state_dir.parent), if_empty=True)
        if self.site.root:
            for account in dict.fromkeys(host.postgresql.os_user for host in self.hosts):
                yield AccountGone(account)


def removed(node: Node) -> Iterator[Resource]:
    """What it takes for a host's server to be gone."""
    data = node.host.postgresql.data_dir or node.home / "data"
    yield Halted(_only_data(str(data)))
    yield Gone(str(node.home))
    if node.host.postgresql.data_dir:
        yield Gone(str(data))


def removed_from(node: Node, *, packages: bool) -> Iterator[Resource]:
    """The same for a machine of its own: servers and data, and the replicator. packages: those of the server too."""
    yield from replicator.removed(node)
    yield Halted(node.server)
    if node.server.unit:
        yield NoDaemon(node.server.unit, systemd=node.server.systemd)
        yield Gone(f"/etc/systemd/system/{node.server.unit}.service.d/pgherd.conf")
    yield Gone(node.server.data)
    if packages and node.packaged:
        yield NoPackages(packages=node.packaged.packages, installer=node.release.installer)


def _left_over(folder: Path) -> Iterator[Resource]:
    yield Halted(_only_data(str(folder / "data")))
    yield Gone(str(folder))


def _only_data(data: str) -> Server:
    """A server of which no more is needed than where its data is."""
    return Server(bin="", data=data, log="", host="", port=0)

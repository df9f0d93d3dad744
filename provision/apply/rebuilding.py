"""Wipes hosts whose rows are elsewhere, so that deploying and the syncs bring them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provision.apply.events import Event, PlaceEnded
from provision.apply.handing import ActingWorker
from provision.apply.jobs import together
from provision.apply.removal import Removal
from provision.apply.stop import Stop
from provision.change import Change, Note
from provision.errors import Fault, InputError
from provision.inventory import Host
from provision.plan import Plan, Step
from provision.resources import Gone, Halted, Resource
from provision.tasks import REPLICATION, Node, Site
from provision.tasks.replication import Rebuild

TASK = "wipe"


def rebuild(site: Site, hosts: Sequence[Host], stop: Stop, *, force: bool) -> Iterator[Event]:
    """Check now, wipe while iterated over. Raises InputError with a sentence for each host that must not be wiped."""
    names = [host.name for host in hosts]
    work = Rebuild(site, names)
    refusals = [] if force else work.refusals()
    if refusals:
        raise InputError(Fault("", 0, "", refusal) for refusal in refusals)
    return _events(Removal(site, tuple(hosts), stop), work, force=force)


def _events(removal: Removal, work: Rebuild, *, force: bool) -> Iterator[Event]:
    servers = [removal.host_job(host, _wiped(removal.site.node(host)), TASK) for host in removal.hosts]
    for jobs in ([removal.job(REPLICATION, _Parting(work, removal.stop, force=force))], servers):
        ended: list[PlaceEnded] = []
        for event in together(jobs, removal.stop):
            if isinstance(event, PlaceEnded):
                ended.append(event)
            yield event
        if any(place.code for place in ended):
            return


def _wiped(node: Node) -> Iterator[Resource]:
    """A host without its server's data; programs and passwords stay."""
    yield Halted(node.server)
    yield Gone(node.server.data)


class _Parting(ActingWorker):
    """The replicator lets go of hosts: what they wrote arrives elsewhere, and nobody counts on their history."""

    tasks = (TASK,)

    def __init__(self, work: Rebuild, stop: Stop, *, force: bool) -> None:
        self._work = work
        self._stop = stop
        self._force = force
        self._parted = False

    def look(self) -> Plan:
        """See `Worker.look`."""
        summary = "let the others catch up, stop the replicator's daemon, forget the old servers"
        steps = () if self._parted else (Step(TASK, "replicator", Change(summary=summary, act=self._part)),)
        return Plan(place=REPLICATION, tasks=self.tasks, steps=steps)

    def _part(self, note: Note) -> None:
        self._work.part(note, lambda: self._stop.asked, force=self._force)
        self._parted = True

"""A rolling run: which hosts come first, and what must hold before the next ones begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from provision.apply.events import Event, Outcome, PlaceEnded, StepBegan, StepEnded, StepSaid, TaskResult
from provision.apply.jobs import Job, together
from provision.apply.places import Tell, failed
from provision.apply.run import Run
from provision.errors import HostFailed, ProvisionError
from provision.facts import ServerState, gather
from provision.inventory import Host, ReplicationSettings
from provision.resources.datadir import server_probe
from provision.tasks.starts import members
from provision.transport import connect

GATE = "between batches"
SERVER_SECONDS = 60.0
POLL_SECONDS = 0.5


def batches(hosts: Sequence[Host], serial: int, declared: ReplicationSettings | None) -> list[tuple[Host, ...]]:
    """Hosts in the order and number in which they are worked on: copies before what they are copied from."""
    if not serial:
        return [tuple(hosts)] if hosts else []
    ordered = sorted(hosts, key=lambda host: _rank(host, declared)) if declared else list(hosts)
    return [tuple(ordered[first : first + serial]) for first in range(0, len(ordered), serial)]


def _rank(host: Host, declared: ReplicationSettings) -> int:
    """0: others copy nothing from it; 1: they do; 2: the replicator keeps there what is declared, too."""
    sources = {declared.databases[members(declared, sync)[0]].host for sync in declared.syncs}
    if declared.catalog.host == host.name:
        return 2
    return int(host.name in sources)


def gate(run: Run, batch: Sequence[Host]) -> Iterator[Event]:
    """Wait until a batch takes connections and the syncs have caught up; ends in a PlaceEnded with code 0 if so."""

    def work(tell: Tell) -> None:
        began = time.monotonic()
        names = ", ".join(host.name for host in batch)
        tell(StepBegan(GATE, GATE, f"see that {names} and the syncs are back", 1, 1))
        try:
            for host in batch:
                _wait_for_server(run, host)
            _wait_for_syncs(run, lambda text: tell(StepSaid(GATE, text)))
        except ProvisionError as error:
            tell(failed(GATE, (GATE,), error))
            return
        seconds = time.monotonic() - began
        tell(StepEnded(GATE, GATE, f"{names}: back, and the syncs have caught up", seconds))
        result = TaskResult(GATE, GATE, Outcome.OK, seconds=seconds, message=names)
        tell(PlaceEnded(GATE, (result,), 0, settled=True, seconds=seconds))

    yield from together([Job(GATE, work)], run.stop)


def skipped(run: Run, hosts: Sequence[Host], why: str) -> Iterator[PlaceEnded]:
    """The ends of hosts that are not even tried."""
    for host in hosts:
        results = tuple(TaskResult(host.name, task, Outcome.SKIPPED, message=why) for task in run.host_tasks)
        yield PlaceEnded(host.name, results, 0)


def _wait_for_server(run: Run, host: Host) -> None:
    """Wait for a server that is there to take connections. Raises HostFailed, Unreachable."""
    probe = server_probe(run.site.node(host).server)
    transport = connect(host, run.site.keeper)
    deadline = time.monotonic() + SERVER_SECONDS
    try:
        while (state := gather(transport, [probe])[probe].state) not in (ServerState.RUNNING, ServerState.BARE):
            if time.monotonic() > deadline or run.stop.asked:
                raise HostFailed(f"the server of {host.name} is {state}.", hint="The other hosts are left as they are.")
            time.sleep(POLL_SECONDS)
    finally:
        transport.close()


def _wait_for_syncs(run: Run, note: Callable[[str], None]) -> None:
    """Wait for the syncs, if they have been set up. Raises HostFailed."""
    if run.inventory.replication is None:
        return
    from provision.tasks.replication import settled  # noqa: PLC0415 - the replicator's drivers load slowly

    settled(run.site, note, run.stopped)

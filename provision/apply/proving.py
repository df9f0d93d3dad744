"""Puts the syncs to the proof."""

from __future__ import annotations

import time
from collections.abc import Iterator

from provision.apply.events import Event, Outcome, PlaceEnded, Proved, StepBegan, StepSaid, TaskResult
from provision.apply.jobs import Job, together
from provision.apply.places import Tell, failed
from provision.apply.run import Run
from provision.errors import HostFailed, ProvisionError
from provision.inventory import Host
from provision.transport import connect

PROOF = "proof"
SHELL_SECONDS = 120.0


def prove(run: Run, *, traffic: bool) -> Iterator[Event]:
    """See `tasks.replication.prove`."""

    def work(tell: Tell) -> None:
        tell(StepBegan(PROOF, PROOF, "compare every table on every node", 1, 1))
        try:
            _prove(run, tell, traffic=traffic)
        except ProvisionError as error:
            tell(failed(PROOF, (PROOF,), error))

    yield from together([Job(PROOF, work)], run.stop)


def _prove(run: Run, tell: Tell, *, traffic: bool) -> None:
    from provision.tasks.replication import prove as make  # noqa: PLC0415 - the replicator's drivers load slowly

    began = time.monotonic()

    def shell(host: Host, script: str) -> None:
        _shell(run, host, script)

    proof = make(run.site, shell, lambda text: tell(StepSaid(PROOF, text)), run.stopped, traffic)
    tell(Proved(proof))
    seconds = time.monotonic() - began
    wrong = len(proof.different)
    said = f"{wrong} of {len(proof.tables)} tables differ; `replicator verify` lists the rows" if wrong else ""
    result = TaskResult(PROOF, PROOF, Outcome.FAILED if wrong else Outcome.OK, seconds=seconds, message=said)
    tell(PlaceEnded(PROOF, (result,), int(wrong > 0), settled=not wrong, seconds=seconds))


def _shell(run: Run, host: Host, script: str) -> None:
    transport = connect(host, run.site.keeper)
    try:
        result = transport.run(script, timeout=SHELL_SECONDS)
    finally:
        transport.close()
    if result.rc:
        raise HostFailed(f"{host.name}: {(result.err or result.out).strip()}")

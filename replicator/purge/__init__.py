"""Removes the change log rows that nobody needs any more, and says what it keeps and for whom.

A log row may go when every link that reads the log has it in its position, which the targets keep. A target that does
not answer, or that has not got the table yet, therefore keeps everything. The logs of a swap serve longer: they are
the memory of versions and deletions against which arriving changes are judged, so a row stays until all members have it
and all that was written without knowing it has arrived: two generations (see `Generations`).

Rows are removed up to a transaction id below which everything is settled, not one by one by visibility: the primary
key finds them, and a transaction that holds the id back holds back vacuum too, so nothing would be gained.

`rule` decides and is pure, `survey` gathers what it decides by, `removal` deletes. `keep_purging` is the master's task.
The conflict ledgers are kept short on the same rounds, and `lateness` warns of targets that hold up the purge for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from replicator import ledger
from replicator.capture.needs import Kind
from replicator.catalog import Catalog
from replicator.errors import ReplicatorError
from replicator.failpoint import failpoint
from replicator.logs import log
from replicator.model import Install, SyncType, TableName, Topology
from replicator.postgres import Connector, translated
from replicator.purge.lateness import Lateness
from replicator.purge.removal import EXACT, measure, remove
from replicator.purge.rule import Generations, Look, State, horizon
from replicator.purge.survey import Node, Survey, take
from replicator.signals import Stop

__all__ = ["PurgeReport", "Purged", "Purger", "State", "keep_purging", "purge_once"]

EVERY, AT_REST = 10.0, 60.0
"""Seconds between purges; at the most, while there is nothing to remove."""


@dataclass(frozen=True, kw_only=True)
class PurgeReport:
    """One log of one node. deleted: rows removed now. kept, oldest: measured only when asked for.

    kept: rows left; beyond `removal.EXACT` an estimate (`exact` says so). holder: who keeps them.
    """

    node: str
    table: TableName
    kind: Kind
    deleted: int = 0
    kept: int | None = None
    exact: bool = True
    oldest: datetime | None = None
    holder: str = ""


@dataclass(frozen=True)
class Purged:
    """silent: the databases that did not answer, or where something went wrong, with why."""

    reports: tuple[PurgeReport, ...]
    silent: Mapping[str, str]

    @property
    def deleted(self) -> int:
        """Rows removed."""
        return sum(report.deleted for report in self.reports)


class Purger:
    """Purges an install's nodes, as a task of one thread: call `once` every few seconds."""

    def __init__(self, connector: Connector, stop: Stop) -> None:
        self._connector = connector
        self._stop = stop
        self._state: State = {}

    def once(self, *, measured: bool = False) -> Purged:
        """Purge every node. Raises as `Catalog.open` does; what goes wrong on a node is in the result."""
        with Catalog.open(self._connector, "purge") as catalog:
            revision = catalog.revision()
            topology = catalog.topology()
            return purge_once(
                topology,
                self._connector.config.install,
                self._connector,
                self._state,
                current=lambda: catalog.revision() == revision,
                stop=self._stop,
                measured=measured,
            )


def keep_purging(connector: Connector, stop: Stop) -> None:
    """Purge every few seconds until the stop is requested. What goes wrong is told once, and tried again."""
    purger, lateness, known = Purger(connector, stop), Lateness(connector), dict[str, str]()
    pause = EVERY
    while not stop.wait(pause):
        try:
            purged = purger.once()
            pause = EVERY if purged.deleted else min(AT_REST, 1.5 * pause)
            silent = dict(purged.silent)
            lateness.look(time.monotonic())
        except ReplicatorError as error:
            silent = {"everything": str(error)}
        except Exception as error:
            silent = {"everything": f"a defect: {error}"}
            log.exception("the purge: a defect")
        for name in silent.keys() - known.keys():
            log.warning("the purge leaves out %s, and keeps what it has not seen: %s", name, silent[name])
        known = silent


def purge_once(
    topology: Topology,
    install: Install,
    connector: Connector,
    state: State,
    *,
    stop: Stop,
    current: Callable[[], bool] = lambda: True,
    measured: bool = False,
) -> Purged:
    """Remove what may go on every node that answers. state: kept between calls; begin with an empty one.

    current: whether `topology` is still what is declared. It is asked after the positions were read: a sync that is
    added later than that begins with a snapshot that is later than those positions, so it misses nothing that goes.
    """
    with ExitStack() as stack:
        survey = take(stack, topology, install, connector)
        failpoint("purge.after-survey")
        if not current():
            return Purged((), survey.silent)
        _advance(survey, state)
        nodes = survey.nodes.values()
        reports = [report for node in nodes for report in _purge(survey, node, state, stop, measured)]
        return Purged(tuple(reports), survey.silent)


def _advance(survey: Survey, state: State) -> None:
    swaps = [sync for sync in survey.topology.syncs.values() if sync.type is SyncType.SWAP]
    for gone in state.keys() - {sync.name for sync in swaps}:
        del state[gone]
    for sync in swaps:
        names = [master.name for master in survey.topology.masters(sync)]
        if set(names) <= survey.nodes.keys():
            links = survey.topology.links(survey.install, sync)
            slaves = {
                link.target.name: seen for link in links if link.led and (seen := survey.heeded(link)) is not None
            }
            state.setdefault(sync.name, Generations()).advance(
                {name: survey.nodes[name].origin for name in names},
                {name: Look(survey.nodes[name].now, survey.nodes[name].later) for name in names},
                {(link.source.name, link.target.name): survey.shared(link) for link in links if link.mutual}
                | {(master, slave): at for slave, seen in slaves.items() for master, at in seen.items()},
                slaves,
            )


def _purge(survey: Survey, node: Node, state: State, stop: Stop, measured: bool) -> Iterator[PurgeReport]:
    try:
        for captured in node.logs:
            held = horizon(survey.readers(node, captured, state), node.now)
            deleted = remove(node, survey.install, captured, held.xid, stop)
            kept, oldest = measure(node, survey.install, captured) if measured else (None, None)
            yield PurgeReport(
                node=node.database.name,
                table=captured.table,
                kind=captured.kind,
                deleted=deleted,
                kept=kept,
                exact=kept is None or kept <= EXACT,
                oldest=oldest,
                holder=held.holder if kept else "",
            )
        with translated(str(node.database)):
            ledger.prune(node.connection, survey.install, ledger.KEPT, stop.is_set)
    except ReplicatorError as error:
        survey.silent[node.database.name] = str(error)

"""What the ends of a swap's link know of each other's changes, and of those of other masters, as of one batch.

The source is asked in the transaction that is read, the target when the link's position is taken. By this a table's
part of the batch is judged where it arrives; the judging is `apply.meeting`'s, what is in the batch is `contents`'.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from replicator import progress
from replicator.apply import park
from replicator.apply.arrival import Arrival, Third
from replicator.apply.stage import Stage
from replicator.capture import Kind, notes
from replicator.model import TableName
from replicator.postgres import Answer
from replicator.snapshot import NOTHING, Snapshot
from replicator.syncrun.job import Job
from replicator.syncrun.ready import Ready
from replicator.table_copy import Pair


class Knowledge:
    """Asks for it, of a swap's link; of any other there is nothing to know."""

    def __init__(self, job: Job, ready: Ready) -> None:
        self._job, self._link, self._ready = job, job.link, ready
        self._seen: Mapping[TableName, Snapshot] = {}
        self._knows: Mapping[str, Snapshot] = {}
        self._unmet: Mapping[TableName, Mapping[str, Sequence[str]]] = {}
        self._told: Mapping[str, Mapping[str, Snapshot]] = {}
        self._silent: Collection[TableName] = ()

    @property
    def standing(self) -> Mapping[str, Snapshot]:
        """How far the source is with the other masters, by name."""
        return self._knows

    def ask_source(self) -> Callable[[], None]:
        """Learn what the source knows of other masters, as of this very batch."""
        source, link = self._ready.source.connection, self._link
        if not self._job.swap:
            return lambda: None
        seen = progress.followed(source, link.install, link.sync.name, link.target.name)
        unmet, knows = park.unmet(source, link), progress.standing(source, link.install, link.sync.name)

        def learn() -> None:
            self._seen, self._unmet = seen(), unmet()
            self._knows = knows() if self._job.thirds else {}

        return learn

    def ask_target(self) -> Callable[[], None]:
        """Learn what the target was told, and what it notes, as of its own transaction."""
        told, silent = self._ask_told(), self._ask_silent()

        def learn() -> None:
            self._told, self._silent = told(), silent()

        return learn

    def _ask_told(self) -> Answer[Mapping[str, Mapping[str, Snapshot]]]:
        """Learn what other masters told the target of their positions."""
        if not self._job.thirds:
            return dict
        return progress.told(self._ready.target, self._link.install, self._link.sync.name)

    def _ask_silent(self) -> Answer[Collection[TableName]]:
        """Learn what need not be noted on the target, of what need not be when it was last looked at."""
        logs, mine = self._ready.target_logs, () if not self._job.swap or self._link.onward else self._ready.pairs
        silent = [name for name in mine if not logs[name, Kind.ROWS].notes]
        return notes.ask_silent(self._ready.target, self._link.install, silent) if silent else tuple

    def arrival(self, pair: Pair, stage: Stage) -> Arrival:
        """What is staged of a table, with all that it is judged by."""
        job = self._job
        return Arrival(
            connection=self._ready.target,
            link=self._link,
            stage=stage,
            log=self._ready.target_logs[pair.name, Kind.ROWS],
            seen=self._seen.get(pair.name, NOTHING),
            thirds=[
                Third(
                    node=third.id,
                    seen=self._knows.get(third.name),
                    told=self._told.get(third.name, {}).get(self._link.source.name),
                )
                for third in job.thirds
            ],
            rule=job.rules[pair.name],
            resolver=job.resolvers.get(pair.name),
            names=job.names,
            unmet=self._unmet.get(pair.name, {}),
            wary=pair.name in self._ready.blocked,
            silent=pair.name in self._silent,
        )

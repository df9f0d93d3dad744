"""The catalog: what one install declares, what its syncs are asked, and what they report; in a database of its own.

The schema is called `catalog`; its tables carry comments and can be read with psql. A `Catalog` holds one connection
in autocommit and belongs to one thread. Whether a change of the topology makes sense, and what it entails on the
nodes, is decided in `topology` and `validate`; here only the constraints speak.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Self

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from replicator import sql
from replicator.catalog import declared, records, schema
from replicator.catalog.bucardo import BucardoTables, Goat
from replicator.catalog.records import KickResult, Leftover, LinkState, LinkTotal, RunRecord, State
from replicator.change import RunResult
from replicator.errors import NotFound, ReplicatorError
from replicator.hearing import Hearing
from replicator.model import Database, DbGroup, Herd, Install, Link, Sync, Topology
from replicator.postgres import Connection, Connector, translate, translated
from replicator.question import Question
from replicator.signals import Alarm, await_input

__all__ = ["CHANNEL", "Catalog", "Goat", "KickResult", "Leftover", "LinkState", "LinkTotal", "RunRecord", "State"]

CHANNEL = "pgherd_catalog"
"""Where the catalog announces kicks and changes of the topology."""

PRUNE_EVERY = 100
"""History is pruned once in so many runs: the delete then finds rows enough to be worth its while."""

WHERE = "the catalog"


class Catalog(BucardoTables):
    """One connection to an install's catalog. All methods raise ConnectionLost when it breaks: open a new one then."""

    def __init__(self, connection: Connection, install: Install) -> None:
        self._connection = connection
        self._install = install
        self._revision = 0
        self._hearing = Hearing(connection, CHANNEL, own=True)
        self._asking: dict[str, Question] = {}

    @classmethod
    def open(cls, connector: Connector, purpose: str = "") -> Self:
        """Connect. Raises Unreachable, Refused; ConfigError if the schema is missing, old, or another install's."""
        connection = connector.open_catalog(purpose, autocommit=True)
        try:
            with translated(WHERE):
                schema.check(connection, connector.config)
        except BaseException:
            connection.close()
            raise
        return cls(connection, connector.config.install)

    @classmethod
    def init(cls, connector: Connector) -> bool:
        """Create the schema in an existing database, or migrate it; whether anything changed. Raises as `open`."""
        with translated(WHERE), connector.open_catalog("init", autocommit=True) as connection:
            return schema.converge(connection, connector.config)

    def close(self) -> None:
        """Close the connection and so release its locks. Idempotent."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the declared topology

    def topology(self) -> Topology:
        """All that is declared, as of one instant, with Database.id filled in."""
        revision, *rows = self._one("topology")
        self._revision = int(revision)
        return declared.topology(*rows)

    def revision(self) -> int:
        """A number that grows with every change of the topology."""
        return int(self._one("revision")[0])

    @contextmanager
    def declaring(self) -> Iterator[None]:
        """A transaction that holds off others who would change the topology."""
        with translated(WHERE), self._connection.transaction():
            self._one("lock_declared")
            yield

    def add_database(self, database: Database) -> None:
        """Add one; its id is given by the catalog. Raises AlreadyExists, InvalidTopology (so do all that follow)."""
        self._declare(database, "add_database")

    def add_dbgroup(self, dbgroup: DbGroup) -> None:
        """Add one with its members."""
        self._declare(dbgroup, "add_dbgroup", "add_dbgroup_members")

    def add_herd(self, herd: Herd) -> None:
        """Add one with its tables and sequences."""
        self._declare(herd, "add_herd", "add_herd_members")

    def add_sync(self, sync: Sync) -> None:
        """Add one with its targets."""
        self._declare(sync, "add_sync", "add_sync_targets")

    def update_database(self, database: Database) -> None:
        """Replace the one of that name, id kept. Raises NotFound, InvalidTopology (so do all that follow)."""
        self._declare(database, "update_database")

    def update_dbgroup(self, dbgroup: DbGroup) -> None:
        """Replace the members of the one of that name."""
        self._declare(dbgroup, "find_dbgroup", "clear_dbgroup_members", "add_dbgroup_members")

    def update_herd(self, herd: Herd) -> None:
        """Replace the one of that name, members and all."""
        self._declare(herd, "update_herd", "clear_herd_members", "add_herd_members")

    def update_sync(self, sync: Sync) -> None:
        """Replace the one of that name, targets and all."""
        self._declare(sync, "update_sync", "clear_sync_targets", "add_sync_targets")

    def remove_database(self, name: str) -> None:
        """Remove one. Raises NotFound; InvalidTopology while something refers to it (so do all that follow)."""
        self._change("database", name, {"name": name}, "remove_database")

    def remove_dbgroup(self, name: str) -> None:
        """Remove one."""
        self._change("dbgroup", name, {"name": name}, "remove_dbgroup")

    def remove_herd(self, name: str) -> None:
        """Remove one."""
        self._change("herd", name, {"name": name}, "remove_herd")

    def remove_sync(self, name: str) -> None:
        """Remove one with its kicks, history and states. What it left on nodes is `topology.apply`'s to clean."""
        self._change("sync", name, {"name": name}, "remove_sync")

    def set_paused(self, sync: str, paused: bool) -> None:
        """Declare a sync off or on. Raises NotFound."""
        self._change("sync", sync, {"name": sync, "paused": paused}, "set_paused")

    # -- kicks

    def kick(self, sync: str) -> int:
        """Ask for a run now; returns the kick's id. Raises NotFound."""
        rows = self._rows("kick", sync=sync)
        if not rows:
            raise NotFound(f"no sync is called {sync!r}.", hint="See `replicator list syncs`.")
        self._run("forget_old_kicks", sync=sync, id=rows[0][0])
        return int(rows[0][0])

    def asked(self, sync: str) -> tuple[int, int]:
        """The topology's revision, and the id of a sync's latest kick (0 if there is none), in one round trip.

        Whoever holds the sync's lock speaks to the catalog by this: `silence` is the time since.
        """
        if sync not in self._asking:
            query = psycopg.sql.SQL(QUERIES["asked"]).format(sync=psycopg.sql.Literal(sync))
            self._asking[sync] = Question(self._connection, query.as_string())
        with translated(WHERE):
            revision, kick = self._asking[sync].ask()
        return int(revision), int(kick)

    def finish_kick(self, sync: str, source: str, target: str, upto_kick_id: int, error: str | None = None) -> None:
        """Note that a link has served a sync's kicks up to that one."""
        self._run("finish_kick", sync=sync, source=source, target=target, upto=upto_kick_id, error=error)

    def kick_results(self, kick_id: int) -> list[KickResult]:
        """What became of a kick, for those links of its sync that have served it; the others are missing."""
        return [records.kick_result(row) for row in self._rows("kick_results", kick=kick_id)]

    # -- history and states

    def record_run(self, link: Link, outcome: RunResult | BaseException, started: datetime, finished: datetime) -> None:
        """Add a run to the history and to the link's totals; the same failure again is counted, not added."""
        result = outcome if isinstance(outcome, RunResult) else RunResult()
        rows = self._rows(
            "record_run",
            **_link(link),
            **vars(result.counts),
            copied=list(result.copied),
            error=None if isinstance(outcome, RunResult) else str(outcome) or type(outcome).__name__,
            started=started,
            finished=finished,
        )
        if rows and rows[0][0] % PRUNE_EVERY == 0:
            self._run("prune_runs", sync=link.sync.name)

    def freeze_runs(self, older_than: timedelta) -> int:
        """Copy runs that ended longer ago than that to the freezer, out of the view q; how many."""
        return int(self._one("freeze_runs", older_than=older_than)[0])

    def drop_frozen(self, older_than: timedelta) -> int:
        """Drop the freezer's days that have been over for longer than that; how many."""
        return int(self._one("drop_frozen", older_than=older_than)[0])

    def runs(self, sync: str | None = None, limit: int = 100) -> list[RunRecord]:
        """The history of one sync or of all, newest first."""
        return [records.run_record(row) for row in self._rows("runs", sync=sync, limit=limit)]

    def totals(self, sync: str | None = None) -> list[LinkTotal]:
        """What the links of one sync or of all did so far; a link that never ran is missing."""
        return [records.link_total(row) for row in self._rows("totals", sync=sync)]

    def report(self, state: LinkState) -> None:
        """Write how a link stands. Nothing happens if its sync has been removed."""
        self._run(
            "report",
            sync=state.sync,
            source=state.source,
            target=state.target,
            state=str(state.state),
            detail=state.detail,
            pid=state.pid,
            revision=state.revision or self._revision,
        )

    def states(self) -> list[LinkState]:
        """How every link stood when it last said so."""
        return [records.link_state(row) for row in self._rows("states")]

    def clear_states(self, sync: str) -> None:
        """Forget how a sync's links stood."""
        self._run("clear_states", sync=sync)

    # -- what removed syncs left on nodes

    def note_leftover(self, leftover: Leftover) -> None:
        """Note what is to be cleaned on a node."""
        tables = None
        if leftover.tables is not None:
            tables = Jsonb([[table.schema, table.name] for table in leftover.tables])
        self._run(
            "note_leftover",
            **declared.values(leftover.database),
            sync=leftover.sync,
            source=leftover.source,
            tables=tables,
        )

    def leftovers(self) -> list[Leftover]:
        """What is still to be cleaned, in the order in which it was noted."""
        return [records.leftover(row) for row in self._rows("leftovers")]

    def leftover_failed(self, leftover_id: int, error: str | None) -> None:
        """Note why it could not be cleaned, or must not be yet."""
        self._run("leftover_failed", id=leftover_id, error=error)

    def remove_leftover(self, leftover_id: int) -> None:
        """It is clean, or nobody cares any more."""
        self._run("remove_leftover", id=leftover_id)

    # -- locks and waking up

    def try_lock(self, *parts: str) -> bool:
        """Take the install's lock of that name for as long as this connection lives; False if another has it.

        A connection can take one several times over. ("master",) says that the daemon runs, ("sync", name) that the
        sync's controller does.
        """
        return bool(self._one("try_lock", key=self._install.lock_key(*parts))[0])

    def unlock(self, *parts: str) -> None:
        """Release a lock that this connection took (once)."""
        self._one("unlock", key=self._install.lock_key(*parts))

    def locked(self, *parts: str) -> bool:
        """Whether any connection holds the lock."""
        return self.silence(*parts) is not None

    def silence(self, *parts: str) -> timedelta | None:
        """How long ago the holder of the lock last spoke to the server; None: nobody holds it.

        Nothing where the server does not say (`track_activities` is off, or the session is another role's).
        """
        rows = self._rows("silence", key=self._install.lock_key(*parts))
        return rows[0][0] if rows else None

    def listen(self) -> None:
        """Begin to hear of kicks and of changes of the topology."""
        with translated(WHERE):
            self._hearing.listen()

    def wait(self, seconds: float, alarm: Alarm | None = None) -> bool:
        """Wait that long, until the alarm is set, or a kick or a change of the topology is announced; True if one was.

        Those of the time between `listen` and now count.
        """
        self.listen()
        with translated(WHERE):
            if self._hearing.heard():
                return True
            if alarm:
                alarm.wait(seconds, self._hearing.fileno())
            else:
                await_input(seconds, self._hearing.fileno())
            return self._hearing.heard()

    # -- running queries

    def _declare(self, value: declared.Declared, *queries: str) -> None:
        self._change(type(value).__name__.lower(), value.name, declared.values(value), *queries)

    def _change(self, noun: str, name: str, values: dict[str, object], *queries: str) -> None:
        """Run queries in one transaction; the first tells by its row count whether the object is there."""
        try:
            with self._connection.transaction():
                for number, query in enumerate(queries):
                    cursor = self._connection.execute(QUERIES[query], values)
                    if number == 0 and cursor.rowcount == 0:
                        raise NotFound(f"no {noun} is called {name!r}.", hint=f"See `replicator list {noun}s`.")
        except psycopg.IntegrityError as error:
            raise declared.refusal(error, noun, name) from error
        except psycopg.Error as error:
            raise translate(error, WHERE) from error

    def _run(self, query: str, **values: object) -> None:
        with translated(WHERE):
            self._connection.execute(QUERIES[query], values)

    def _rows(self, query: str, **values: object) -> list[TupleRow]:
        with translated(WHERE):
            return self._connection.execute(QUERIES[query], values).fetchall()

    def _one(self, query: str, **values: object) -> TupleRow:
        rows = self._rows(query, **values)
        if not rows:
            raise ReplicatorError("the catalog has lost the row that names its install.", hint="Restore its database.")
        return rows[0]


QUERIES = sql.queries("catalog/queries.sql")


def _link(link: Link) -> dict[str, str]:
    return {"sync": link.sync.name, "source": link.source.name, "target": link.target.name}

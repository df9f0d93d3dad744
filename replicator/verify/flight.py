"""What may rightly differ at the moment of a comparison: changes that one side has and the other is still to get.

Target and source are read in one snapshot each, the target's first. The position that the target's snapshot holds says
up to where it had followed the source, so the target's rows are the source's rows as they were at that position, and
they may differ from the source's snapshot in exactly the keys that the source's change log holds in between. A key
that differs and is not among those is a real difference, at once and under any load. The purge is kept out (by an
advisory lock that it takes too) while the two snapshots are being taken: later it can do no harm, because the
snapshots go on seeing what it deletes. Of a log that is fed from the WAL, what is not in it yet is decoded with them.

For a swap the same holds in the other direction as well. There the target's log is read in a third, later snapshot:
what the target wrote after its first one may have reached the source before the second. And what a third master wrote
may have reached one of the two and not the other: its log is read last of all, against the positions of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from psycopg import IsolationLevel, sql

from replicator import columns, progress
from replicator.capture import housekeeping
from replicator.capture.captured import Captured, logs
from replicator.capture.decoding import slot
from replicator.capture.decoding.decoder import Decoder
from replicator.capture.decoding.mover import drain
from replicator.capture.delta import carried, unseen
from replicator.capture.flusher import Flusher
from replicator.capture.needs import Kind
from replicator.model import Capture, Install, Link, SyncType, TableName
from replicator.postgres import Connection, fetch_one
from replicator.relations import Relation, describe
from replicator.snapshot import NOTHING, Snapshot
from replicator.verify.digest import Reading

PURGE = housekeeping.PURGE
"""The part of the advisory lock's name: `Install.lock_key(PURGE)`, on each node."""


@dataclass(frozen=True)
class Direction:
    """One link's changes on their way, as a log holds them. since: what the receiver had seen. log: None if unknown.

    also: a further snapshot; what it does not see counts as on its way too. relation: the sender's table, where the
    sender is neither of the two that are compared. decoder: what it has decoded is on its way as well.
    """

    link: Link
    sender: Connection
    captured: Captured | None
    since: Snapshot
    also: Snapshot | None = None
    note: str = ""
    relation: Relation | None = None
    decoder: Decoder | None = None

    @property
    def unknown(self) -> bool:
        """Whether any row may be on its way, because nothing tells which are not."""
        return bool(self.note) or self.captured is None

    def everything(self) -> bool:
        """Whether all rows may be on their way: a copy is due, or the table was emptied. One round trip."""
        if self.unknown:
            return True
        if self._touch:
            return self._exists(self._rows())
        return self._exists(self._truncations()) or bool(self._decoded and self._was_emptied(self._decoded))

    def keys(self, reading: Reading) -> sql.Composed | None:
        """The query for the keys on their way, as `Reading.key_bytes` prints them, sorted; None when there are none."""
        if self.captured is None or self._touch:
            return None
        places = {name: sql.Identifier("l", f"k{i + 1}") for i, name in enumerate(self.captured.key)}
        text = reading.key_text([places[name] for name in reading.key or reading.names])
        return sql.SQL("select distinct {} as k from {} l where {} order by k").format(text, self._log(), self._mine())

    def arrived(self, seen: Snapshot, now: Snapshot) -> bool:
        """Whether a receiver that is at `now` has everything of this log that `seen` saw."""
        if self.unknown:
            return False
        later = Direction(self.link, self.sender, self.captured, now)
        sources = [later._rows()] if self._touch else [later._rows(), later._truncations()]
        visible = sql.SQL("{} and txid_visible_in_snapshot(l.xid, {})")
        return not any(self._exists(visible.format(rows, sql.Literal(str(seen)))) for rows in sources)

    @property
    def _touch(self) -> bool:
        return self.captured is not None and self.captured.kind is Kind.TOUCH

    def _exists(self, rows: sql.Composed) -> bool:
        return bool(fetch_one(self.sender, sql.SQL("select exists ({})").format(rows))[0])

    def _truncations(self) -> sql.Composed:
        assert self.captured is not None
        return sql.SQL("select from {}.truncated l where {} and schema_name = {} and table_name = {}").format(
            sql.Identifier(self.link.install.schema),
            self._unseen(),
            sql.Literal(self.captured.table.schema),
            sql.Literal(self.captured.table.name),
        )

    def _rows(self) -> sql.Composed:
        return sql.SQL("select from {} l where {}").format(self._log(), self._mine())

    @property
    def _decoded(self) -> Decoder | None:
        """What decoded some of the log."""
        decoder = self.decoder
        return decoder if decoder and self.captured and self.captured.relid in decoder.changed else None

    def _was_emptied(self, decoder: Decoder) -> bool:
        assert self.captured is not None
        return decoder.emptied(self._unseen()).get(self.captured.relid, False)

    def _log(self) -> sql.Composable:
        assert self.captured is not None
        log = sql.Identifier(self.link.install.schema, self.captured.log)
        return self._decoded.with_log(self.captured, log) if self._decoded else log

    def _mine(self) -> sql.Composed:
        return sql.SQL("{} and {}").format(self._unseen(), sql.SQL(carried(self.link)))

    def _unseen(self) -> sql.Composed:
        first = unseen("l.xid", self.since)
        return sql.SQL("({} or {})").format(first, unseen("l.xid", self.also)) if self.also else first


@dataclass(frozen=True, kw_only=True)
class Look:
    """Both sides in one snapshot each, inside open transactions. seen: each direction's sender's snapshot, in order."""

    source: Connection
    target: Connection
    directions: tuple[Direction, ...]
    seen: tuple[Snapshot, ...]


@dataclass(frozen=True)
class Third:
    """Another master of a swap than the two that are compared, and its links to them. connection: None, with why."""

    links: tuple[Link, Link]
    connection: Connection | None
    why: str = ""


class Ends:
    """The connections of one comparison, all in autocommit. `later`: the target again, for a swap's third snapshot.

    flusher: of the source.
    """

    def __init__(
        self,
        link: Link,
        back: Link | None,
        source: Connection,
        target: Connection,
        later: Connection,
        thirds: Sequence[Third] = (),
        flusher: Flusher | None = None,
    ):
        self._flush = flusher.flush if flusher else None
        self.link, self.back = link, back
        self.source, self.target, self.later = source, target, later
        self.thirds = thirds
        for connection in self.connections:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All of them."""
        return self.source, self.target, self.later, *(third.connection for third in self.thirds if third.connection)

    @contextmanager
    def look(self, ours: Relation, theirs: Relation) -> Iterator[Look]:
        """Take the snapshots of a table's two sides, in the order that the argument above needs."""
        install, table = self.link.install, ours.name
        held: tuple[Connection, ...] = (self.source, self.later) if self.back else (self.source,)
        held += self.connections[3:]
        with ExitStack() as stack:
            for connection in held:
                connection.execute("select pg_advisory_lock_shared(%s)", [install.lock_key(PURGE)])
            try:
                at_target = _begin(stack, self.target, theirs)
                forth = _since(self.target, self.link, table)
                at_source, decoder = self._begin_source(stack, ours)
                directions = [replace(_direction(self.link, self.source, forth, table), decoder=decoder)]
                seen = [at_source]
                if self.back:
                    back = _since(self.source, self.back, table)
                    seen.append(_begin(stack, self.later))
                    directions.append(_direction(self.back, self.later, back, table, also=at_target))
                for third in self.thirds:
                    at_third, ways = self._third(stack, third, table)
                    directions += ways
                    seen += [at_third] * len(ways)
            finally:
                _release(held, install)
            yield Look(source=self.source, target=self.target, directions=tuple(directions), seen=tuple(seen))

    def _begin_source(self, stack: ExitStack, relation: Relation) -> tuple[Snapshot, Decoder | None]:
        """The snapshot of the source; and what decoded for it, where its log is fed from the WAL."""
        captured = _captured(self.source, self.link, relation.name)
        if captured is None or not captured.decoded:
            return _begin(stack, self.source, relation), None
        decoder = Decoder(self.source, self.link.install, self._flush)
        held = stack.enter_context(ExitStack())  # let go also where the snapshot cannot be taken
        held.enter_context(slot.locked(self.source, self.link.install))
        at = _begin(stack, self.source, relation)
        decoder.decode(at.xmax)
        held.close()
        return at, decoder

    def _third(self, stack: ExitStack, third: Third, table: TableName) -> tuple[Snapshot, list[Direction]]:
        """What another master has sent to one of the two, perhaps, and not yet to the other."""
        if third.connection is None:
            return NOTHING, [Direction(link, self.source, None, NOTHING, note=third.why) for link in third.links]
        there = [_since(receiver, link, table) for receiver, link in zip(self._receivers, third.links, strict=True)]
        at = _begin(stack, third.connection)
        relation = describe(third.connection, [table]).get(table)
        ways = [
            replace(_direction(link, third.connection, since, table), relation=relation)
            for link, since in zip(third.links, there, strict=True)
        ]
        return at, ways

    @property
    def _receivers(self) -> tuple[Connection, Connection]:
        return self.source, self.target

    def arrived(self, table: TableName, seen: Sequence[Snapshot]) -> bool:
        """Whether what a look at the table saw on its way has all reached the other side by now."""
        ways = [(self.link, self.source, self.target)]
        if self.back:
            ways.append((self.back, self.target, self.source))
        for third in self.thirds:
            sender = third.connection or self.source
            ways += [(link, sender, to) for link, to in zip(third.links, self._receivers, strict=True)]
            if third.connection is None:
                return False
        if self.link.source.capture is Capture.WAL:
            if self._flush:
                self._flush()
            drain(self.source, self.link.install)
        for (link, sender, receiver), before in zip(ways, seen, strict=True):
            now = _since(receiver, link, table)
            if not _direction(link, sender, now, table).arrived(before, now.snapshot):
                return False
        return True


@dataclass(frozen=True)
class _Since:
    """How far a receiver is with a table. copying: it is being copied, or was never had. capture: the log's id."""

    snapshot: Snapshot
    capture: object = None
    note: str = ""


def _begin(stack: ExitStack, connection: Connection, relation: Relation | None = None) -> Snapshot:
    stack.enter_context(connection.transaction())
    if relation is not None:
        # A snapshot does not protect against TRUNCATE, which empties a table for older snapshots too; a lock does, if
        # it is taken before the snapshot.
        connection.execute(sql.SQL("lock table {} in access share mode").format(relation.rows))
    return Snapshot.parse(fetch_one(connection, "select txid_current_snapshot()::text")[0])


def _release(held: Sequence[Connection], install: Install) -> None:
    for connection in held:
        if not connection.broken:
            connection.execute("select pg_advisory_unlock_shared(%s)", [install.lock_key(PURGE)])


def _since(receiver: Connection, link: Link, table: TableName) -> _Since:
    if not progress.exists(receiver, link.install):
        return _Since(NOTHING, note="it has not been copied yet")
    position = progress.read(receiver, link.install, link.sync.name, link.source.name)
    mine = progress.tables(receiver, link.install, link.sync.name, link.source.name).get(table)
    if mine is None:
        return _Since(NOTHING, note="it has not been copied yet")
    if mine.state is progress.TableState.COPYING:
        return _Since(NOTHING, mine.capture, "it is being copied")
    at = mine.snapshot or (position.snapshot if position else NOTHING)
    known = columns.read(receiver, link.install, link.sync.name, link.source.name).get(table)
    return _Since(at, mine.capture, known.note if known and known.due else "")


def _direction(
    link: Link, sender: Connection, since: _Since, table: TableName, also: Snapshot | None = None
) -> Direction:
    captured = _captured(sender, link, table)
    note = since.note
    if captured is None:
        note = note or f"its changes are not being captured on {link.source.name}"
    elif since.capture and (captured.id != since.capture or since.snapshot.xmin < captured.purged):
        note = note or "its change log was begun anew, or no longer reaches back, so it is due to be copied"
    return Direction(link, sender, captured, since.snapshot, also, note)


def _captured(sender: Connection, link: Link, table: TableName) -> Captured | None:
    if not progress.exists(sender, link.install):
        return None
    kind = Kind.TOUCH if link.sync.type is SyncType.FULLCOPY else Kind.ROWS
    return logs(sender, link.install).get((table, kind))

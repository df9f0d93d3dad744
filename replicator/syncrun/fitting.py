"""Looks at a link's tables on both sides, has the source log them, and finds out which of them travel, and how.

What follows from what is found is `definitions`'s; here both servers are asked until their answers hold together,
columns are added where the sync is to, and what is now known is kept on the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from replicator import capture, columns, relations
from replicator.capture import Captured, Kind
from replicator.columns import Known
from replicator.differences import lacking
from replicator.errors import Transient
from replicator.failpoint import failpoint
from replicator.logs import log
from replicator.model import Ddl, Link, SyncType, TableName, Topology
from replicator.postgres import Connection
from replicator.progress import TablePosition, TableState
from replicator.relations import Relation, restricted
from replicator.syncrun.definitions import Sides, judge
from replicator.syncrun.newcol import add_columns
from replicator.table_copy import Pair

Report = Callable[[str], None]

LOOKS = 5


@dataclass
class Fitted:
    """pairs: the tables that travel, the target's with those columns that do. wider: those with more on the target.

    known: of all tables; before: what the target kept of them. fingerprints: of the source's and the target's
    definitions.
    """

    pairs: dict[TableName, Pair]
    wider: frozenset[TableName]
    known: dict[TableName, Known]
    before: Mapping[TableName, Known | None]
    fingerprints: tuple[str, str]

    def park(self, reasons: Mapping[TableName, str]) -> None:
        """Park further tables, of those that travel."""
        for name in reasons.keys() & self.pairs.keys():
            del self.pairs[name]
            self.known[name] = replace(self.known[name], parked=True, note=reasons[name])

    def keep(self, target: Connection, link: Link) -> None:
        """Keep what is known on the target, and log what is new in it."""
        columns.save(target, link, {name: now for name, now in self.known.items() if now != self.before[name]})
        for name, now in self.known.items():
            _tell(link, name, self.before[name], now)


def fit(
    link: Link,
    topology: Topology,
    source: Connection,
    target: Connection,
    held: Mapping[TableName, TablePosition],
    report: Report,
) -> Fitted:
    """Compare, capture, add columns. held: how far the target is with the tables that it has or is getting.

    Raises Transient when definitions change all the time, LockedOut when a table cannot be captured for locks.
    """
    for _ in range(LOOKS):
        sides = _look(link, source, target, held)
        if link.sync.ddl is Ddl.NEWCOL and _add_new_columns(sides, source, target, report):
            sides = _look(link, source, target, held)
        captured = _captured(topology, link, source, target, sides)
        prints = relations.fingerprint(source, link.tables)(), relations.fingerprint(target, link.tables)()
        if _same(sides, _look(link, source, target, held)):
            return _fitted(link, sides, captured, prints)
    raise Transient(f"{link}: a table's definition changes all the time; looking again.")


def _look(
    link: Link, source: Connection, target: Connection, held: Mapping[TableName, TablePosition]
) -> dict[TableName, Sides]:
    ours, theirs = relations.describe(source, link.tables), relations.describe(target, link.tables)
    known = columns.read(target, link.install, link.sync.name, link.source.name)
    here = {name for name, position in held.items() if position.state is not TableState.COPYING}
    return {
        name: Sides(link, _table(ours.get(name)), _table(theirs.get(name)), known.get(name), name in here)
        for name in link.tables
    }


def _table(relation: Relation | None) -> Relation | None:
    return relation if relation and relation.kind in ("r", "p") else None


def _same(one: Mapping[TableName, Sides], other: Mapping[TableName, Sides]) -> bool:
    return all((one[name].source, one[name].target) == (other[name].source, other[name].target) for name in one)


def _add_new_columns(sides: Mapping[TableName, Sides], source: Connection, target: Connection, report: Report) -> bool:
    done = False
    for name, one in sides.items():
        if one.source is None or not one.added:
            continue
        known = one.known or Known(common=frozenset())
        words = f"{name}: column {', '.join(one.added)} on {one.link.target.name}"
        report(f"adding {words}")
        if why := add_columns(source, target, one.link, one.source, one.added, known):
            log.warning("%s could not be added: %s", words, why)
        else:
            log.info("%s was added", words)
            done = True
    return done


def _captured(
    topology: Topology, link: Link, source: Connection, target: Connection, sides: Mapping[TableName, Sides]
) -> dict[tuple[TableName, Kind], Captured]:
    """The source's logs; in a swap the target logs too."""
    ends = [(link.source, source, {name: one.source for name, one in sides.items()})]
    if link.mutual:
        ends.insert(0, (link.target, target, {name: one.target for name, one in sides.items()}))
    found: dict[tuple[TableName, Kind], Captured] = {}
    failpoint("prepare.before-capture")
    for database, connection, tables in ends:
        wanted = capture.needs(topology, database.name)
        present = {name: table for name, table in tables.items() if table and capture.can_log(table, wanted[name])}
        found = capture.ensure(connection, link.install, wanted, present, database.capture)
    return found


def _fitted(
    link: Link,
    sides: Mapping[TableName, Sides],
    captured: Mapping[tuple[TableName, Kind], Captured],
    prints: tuple[str, str],
) -> Fitted:
    kind = Kind.TOUCH if link.sync.type is SyncType.FULLCOPY else Kind.ROWS
    known = {name: judge(one) for name, one in sides.items()}
    pairs, wider = {}, set()
    for name, one in sides.items():
        if known[name].parked or one.source is None or one.target is None:
            continue
        pairs[name] = Pair(one.source, restricted(one.target, known[name].common), captured[name, kind])
        if lacking(one.target, one.source):
            wider.add(name)
    before = {name: one.known for name, one in sides.items()}
    return Fitted(pairs, frozenset(wider), known, before, prints)


def _tell(link: Link, name: TableName, before: Known | None, now: Known) -> None:
    """Say what has changed about how a table travels."""
    if (before.note if before else "") == now.note:
        return
    way = f"{link.source.name} -> {link.target.name}"
    if now.parked:
        log.warning("%s: %s is parked: %s", way, name, now.note)
    else:
        log.info("%s: %s: %s", way, name, now.note or "goes on whole")

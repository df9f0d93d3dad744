"""Joins two masters: makes a table equal on both before changes flow, without ever overwriting one master unasked.

By what the two hold: an empty side is filled from the other; equal tables are taken as they are; different tables
stop the join until a person says which side to copy (`onetimecopy`). Only the link from the sync's source does this,
for both directions: the way back is opened first, from before the copy, so no local write falls in between. Nothing
flows there until the copy is made; what it does with rows that were written meanwhile is in `meanwhile`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from replicator import postgres, progress
from replicator.apply.session import open_target
from replicator.apply.stage import Stage
from replicator.capture import Captured
from replicator.capture.captured import logs
from replicator.change import Counts
from replicator.errors import SchemaMismatch
from replicator.failpoint import failpoint
from replicator.model import Database, Link, TableName
from replicator.postgres import Connection, Connector, fetch_one
from replicator.progress import TablePosition, TableState
from replicator.relations import Relation
from replicator.signals import Stop
from replicator.table_copy.copy import Exported, Pair, begin, copy_tables, exported, holds
from replicator.table_copy.masters import going_on, known_positions, logs_by_table, note_positions, take_over
from replicator.table_copy.meanwhile import Judges, Own
from replicator.table_copy.meter import Report


def reverse(link: Link) -> Link:
    """The other direction of a swap."""
    return replace(link, source=link.target, target=link.source)


def join(
    connector: Connector,
    link: Link,
    forward: Sequence[Pair],
    back: Sequence[Pair],
    report: Report,
    stop: Stop,
    judges: Judges,
    *,
    thirds: Sequence[Database] = (),
    overwrite: bool = False,
) -> Counts:
    """Join tables of a swap whose link starts at the sync's source; `back` are the pairs of the other direction.

    judges: decide where both have written a row. thirds: the swap's other masters. overwrite: copy the source over
    the target whatever they hold. Raises SchemaMismatch when both sides hold rows and these differ, naming all such
    tables; nothing is touched then.
    """
    way_back = reverse(link)
    with exported(connector, link) as here, exported(connector, way_back) as there:
        failpoint("join.before-choice")
        to_target, to_source = _choose(connector, link, forward, here, there, overwrite=overwrite)
        if thirds and to_source:
            raise SchemaMismatch(
                f"{link}: {', '.join(map(str, sorted(to_source)))}: {link.target.name} holds rows, and"
                f" {link.source.name}, from which all other masters are filled, holds none.",
                hint=f"Let the herd live on {link.target.name}, or fill {link.source.name} first.",
            )
        known = known_positions(here, link, thirds)
        # Once changes flow, both sides may hold rows: what was chosen must be on record by then.
        copied = [pair for pair in forward if pair.name in to_target]
        copied_back = [pair for pair in back if pair.name in to_source]
        begun = begin(connector, link, copied, here)
        begin(connector, way_back, copied_back, there)
        failpoint("join.before-way-back")
        _open(connector, way_back, [p for p in back if p.name not in to_source], there, anew=overwrite)
        failpoint("join.after-way-back")
        opened = [p for p in forward if p.name not in to_target]
        with open_target(connector, link, "join") as target:
            own = _own(connector, link, logs_by_table(logs(target, link.install)), judges)
            # At once, and before the copy: what is equal now may be written on both sides while the rest is copied.
            with target.transaction():
                note_positions(target, link, forward, known, going_on(begun))
                failpoint("join.before-opening")
                _take_as_equal(target, link, opened, here, anew=overwrite)
                if thirds and opened:
                    take_over(here, target, link, opened, own)
            failpoint("join.after-opening")

        def finish(target: Connection) -> None:
            take_over(here, target, link, copied, own)

        counts = copy_tables(connector, link, copied, here, report, stop, finish, own)
        failpoint("join.after-copy")
        own_back = _own(connector, way_back, {pair.name: pair.captured for pair in forward}, judges)
        return counts + copy_tables(connector, way_back, copied_back, there, report, stop, own=own_back)


def _own(
    connector: Connector, link: Link, log_of: Mapping[TableName, Captured], judges: Judges
) -> dict[TableName, Own]:
    """What the link's target has of its own of the tables that its source follows. log_of: the target's logs."""
    with open_target(connector, reverse(link), "join") as source:
        followed = progress.followed(source, link.install, link.sync.name, link.target.name)()
    return {name: Own(log_of[name], seen, judges) for name, seen in followed.items() if name in log_of}


def _choose(
    connector: Connector, link: Link, pairs: Sequence[Pair], here: Exported, there: Exported, *, overwrite: bool
) -> tuple[set[TableName], set[TableName]]:
    """Which tables to copy to the target, and which to the source."""
    if overwrite:
        return {pair.name for pair in pairs}, set()
    to_target, to_source = _broken_off(connector, link), _broken_off(connector, reverse(link))
    different = []
    for pair in pairs:
        if pair.name in to_target or pair.name in to_source:
            continue
        ours, theirs = _has_rows(here, pair.source), _has_rows(there, pair.target)
        if ours and not theirs:
            to_target.add(pair.name)
        elif theirs and not ours:
            to_source.add(pair.name)
        elif ours and theirs and _digest(here, pair.source) != _digest(there, pair.target):
            different.append(str(pair.name))
    if different:
        raise SchemaMismatch(
            f"{link}: both masters hold rows of {', '.join(different)}, and these differ.",
            hint=f"To copy {link.source.name} over {link.target.name}:"
            f" `replicator update sync {link.sync.name} --onetimecopy always`; or make them equal yourself.",
        )
    return to_target, to_source


def _broken_off(connector: Connector, link: Link) -> set[TableName]:
    """Tables whose copy in this direction was begun: it goes on, whatever is there by now."""
    with open_target(connector, link, "join") as target:
        known = progress.tables(target, link.install, link.sync.name, link.source.name)
    return {name for name, position in known.items() if position.state is TableState.COPYING}


def _has_rows(side: Exported, relation: Relation) -> bool:
    return bool(fetch_one(side.connection, sql.SQL("select exists (select from {})").format(relation.rows))[0])


def _digest(side: Exported, relation: Relation) -> tuple[object, ...]:
    names = sorted(Stage(relation).names)
    query = sql.SQL(
        "select count(*), sum(('x' || substr(h, 1, 8))::bit(32)::bigint),"
        " sum(('x' || substr(h, 9, 8))::bit(32)::bigint) from (select md5(row({})::text) as h from {}) t"
    ).format(sql.SQL(", ").join(sql.Identifier(name) for name in names), relation.rows)
    with postgres.translated(str(relation.name)):
        return tuple(fetch_one(side.connection, query))


def _open(connector: Connector, link: Link, pairs: Sequence[Pair], snapshot: Exported, *, anew: bool) -> None:
    """Let changes flow in one direction from a snapshot on."""
    with open_target(connector, link, "join") as target, target.transaction():
        _take_as_equal(target, link, pairs, snapshot, anew=anew)


def _take_as_equal(target: Connection, link: Link, pairs: Sequence[Pair], snapshot: Exported, *, anew: bool) -> None:
    """anew: even where changes flow already, since a join that was broken off; there nothing must be left out."""
    position = progress.read(target, link.install, link.sync.name, link.source.name)
    known = progress.tables(target, link.install, link.sync.name, link.source.name)
    for pair in pairs:
        if anew or not holds(known.get(pair.name), pair, position.snapshot if position else None):
            at = TablePosition(TableState.COPIED, pair.captured.id, snapshot.snapshot)
            progress.save_table(target, link, pair.name, at)

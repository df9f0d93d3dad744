"""What a master takes over with a copy from another, in a swap of more than two: versions, floor, positions.

The copied rows are as the source knows them, with all that the third masters' changes had made of them there. So the
new master goes on from where the source was with each third one, knows the versions that the source's log holds (an
older change of another master must not win here what it lost there), and never counts its own changes as older.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from psycopg import sql

from replicator import progress
from replicator.apply.pump import pump
from replicator.capture import Captured, Kind
from replicator.capture.keys import match_keys
from replicator.errors import CaptureMissing
from replicator.failpoint import failpoint
from replicator.model import Database, Link, TableName
from replicator.postgres import Connection, fetch_one
from replicator.progress import TablePosition, TableState
from replicator.snapshot import NOTHING
from replicator.table_copy.copy import Exported, Pair, repeatable
from replicator.table_copy.meanwhile import Own, newest_versions

Known = Mapping[TableName, Mapping[str, TablePosition]]
"""By table and third master: where the source was with it."""


def known_positions(source: Exported, link: Link, thirds: Sequence[Database]) -> Known:
    """Where the copy's source is with each third master, as of the copy's snapshot. One that it lacks is left out."""
    found: dict[TableName, dict[str, TablePosition]] = {}
    for third in thirds:
        args = (source.connection, link.install, link.sync.name, third.name)
        seen = progress.followed(*args)()
        for name, at in progress.tables(*args).items():
            if name in seen:
                position = TablePosition(TableState.COPYING, at.capture, seen[name])
                found.setdefault(name, {})[third.name] = position
    return found


def going_on(begun: Mapping[TableName, TablePosition]) -> set[TableName]:
    """The tables of which a copy goes on, and ranges are done that are as an earlier snapshot was."""
    return {name for name, at in begun.items() if at.done}


def note_positions(
    target: Connection, link: Link, pairs: Sequence[Pair], known: Known, again: Collection[TableName]
) -> None:
    """Set where the target will go on with each third master once it has the tables. again: those of `going_on`.

    A copy that goes on changes none, and adds none: what a third master sent since it was begun is not in the ranges
    that are done. One of whom nothing was known then is read from its beginning (`open_joined`).

    Their logs are kept from here on. In a transaction.
    """
    for third in {third for pair in pairs for third in known.get(pair.name, {})}:
        progress.read(target, link.install, link.sync.name, third, lock=True)
        there = progress.tables(target, link.install, link.sync.name, third)
        for pair in pairs:
            position = known.get(pair.name, {}).get(third)
            begun = there.get(pair.name)
            if position is None or (begun is None and pair.name in again):
                continue
            kept = begun and begun.state is TableState.COPYING and begun.capture == position.capture
            if not (kept and repeatable(link, pair)):
                progress.save_table(target, link, pair.name, position, source=third)


def take_over(
    source: Exported, target: Connection, link: Link, pairs: Sequence[Pair], own: Mapping[TableName, Own]
) -> None:
    """Let the target know the source's versions and floor, and go on with the third masters. In a transaction."""
    for pair in pairs:
        if pair.source.key:
            _ship_versions(source, target, link, pair, own[pair.name])
    failpoint("join.after-versions")
    _raise_floor(source, target, link)
    failpoint("join.after-floor")
    for name in (pair.name for pair in pairs):
        progress.copied(target, link, name)


def _ship_versions(source: Exported, target: Connection, link: Link, pair: Pair, own: Own) -> None:
    log = own.log
    columns = sql.SQL(", ").join(sql.Identifier(f"k{i + 1}") for i in range(len(log.key)))
    keys = sql.SQL(", ").join(sql.Identifier("x", f"k{pair.captured.key.index(name) + 1}") for name in log.key)
    query = sql.SQL("select {}, x.at, x.origin, x.op, false, x.author, x.xid from ({}) x").format(
        keys, newest_versions(link, pair.captured)
    )
    into = sql.SQL("{} ({}, changed_at, origin, op, onward, author, source_xid)").format(
        sql.Identifier(link.install.schema, log.log), columns
    )
    if pump(source.connection, query, target, into, binary=False, moved=lambda _: None):
        _put_behind(target, link, pair, own)


def _put_behind(target: Connection, link: Link, pair: Pair, own: Own) -> None:
    """Let what was written on the target during the copy be newer than the versions that were shipped just now.

    The order of a row's versions is that of `seq`, which is never below zero otherwise.
    """
    target.execute(
        sql.SQL(
            "update {log} x set seq = -x.seq where x.xid = txid_current() and exists (select from {log} l"
            " where {match} and {written} and l.op <> '+' and l.seq > coalesce((select max(o.seq) from {log} o"
            " where {other} and o.origin is not null and o.op <> '+' and o.xid <> txid_current()), 0))"
        ).format(
            log=sql.Identifier(link.install.schema, own.log.log),
            match=match_keys(pair.target, "l", "x"),
            other=match_keys(pair.target, "o", "x"),
            written=own.written(),
        )
    )


def _raise_floor(source: Exported, target: Connection, link: Link) -> None:
    node = sql.Identifier(link.install.schema, "node")
    (floor,) = fetch_one(source.connection, sql.SQL("select floor::text from {}").format(node))
    target.execute(
        sql.SQL("update {} set floor = %s::timestamptz where floor < %s::timestamptz").format(node), [floor] * 2
    )


def open_joined(
    source: Connection, target: Connection, link: Link, pairs: Sequence[Pair], known: Mapping[TableName, TablePosition]
) -> None:
    """Let changes flow between two masters neither of which is the lead, once both have a table from it.

    Where nothing is known of an earlier position, all that was ever written on the source is still in its log: there
    was always one who had yet to read it. Raises CaptureMissing where that is not so.
    """
    wanting = [pair for pair in pairs if pair.name not in known]
    if not wanting:
        return
    joined = [progress.tables(each, link.install, link.sync.name, link.lead) for each in (source, target)]
    for pair in wanting:
        if any(pair.name not in one or one[pair.name].state is TableState.COPYING for one in joined):
            continue
        if pair.captured.purged:
            raise CaptureMissing(
                f"{link}: what was written on {link.source.name} before {link.target.name} came is no longer in the"
                f" change log of {pair.name}.",
                hint=f"Compare with `replicator verify {link.sync.name}`, then copy anew:"
                f" `replicator update sync {link.sync.name} --onetimecopy always`.",
            )
        failpoint("join.before-third-link")
        with target.transaction():
            progress.save_table(target, link, pair.name, TablePosition(TableState.COPIED, pair.captured.id, NOTHING))
            failpoint("join.after-third-link")


def logs_by_table(found: Mapping[tuple[TableName, Kind], Captured]) -> dict[TableName, Captured]:
    """The logs of rows."""
    return {name: captured for (name, kind), captured in found.items() if kind is Kind.ROWS}

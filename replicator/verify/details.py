"""The rows behind a difference, fetched by key for the few that are listed, and the keys that are parked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from psycopg import sql

from replicator import progress
from replicator.model import Link
from replicator.postgres import Connection
from replicator.verify.digest import Reading
from replicator.verify.flight import Look
from replicator.verify.merge import Mismatch

LONGEST = 10_000
"""Characters of a value that are fetched."""
WIDTH = 60
"""Characters of a value that are shown, the first one that differs among them."""


class What(StrEnum):
    """In what way a row differs."""

    MISSING = "missing on the target"
    EXTRA = "extra on the target"
    DIFFERS = "differs"


@dataclass(frozen=True)
class ColumnDifference:
    """Both values as text, shortened; None for NULL."""

    column: str
    source: str | None
    target: str | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One row. key: the key's values by column; without a key the whole row, and how often it is on each side.

    parked: it lies among the dead letters. left: a strategy (`skip`, `abort`) left it different.
    """

    what: What
    key: Mapping[str, str | None]
    columns: tuple[ColumnDifference, ...] = ()
    source_rows: int
    target_rows: int
    parked: bool = False
    left: bool = False


@dataclass(frozen=True)
class _Row:
    digests: Mapping[str, str | None]
    shown: Mapping[str, str | None]


ROWS = """
select distinct on (1) {key}, array[{digests}]::text[], array[{shown}]::text[]
from {rows} t where {among} and {key} = any({keys})
"""


def describe(
    look: Look,
    ours: Reading,
    theirs: Reading,
    found: Sequence[Mismatch],
    parked: frozenset[bytes],
    left: frozenset[bytes],
) -> Iterator[Difference]:
    """What is behind each mismatch. Raises psycopg.Error."""
    if not found:
        return
    rows = _fetch(look.source, ours, found), _fetch(look.target, theirs, found)
    for mismatch in found:
        one, other = rows[0].get(mismatch.key), rows[1].get(mismatch.key)
        difference = _difference(mismatch, ours.key, one, other, mismatch.key in parked)
        yield replace(difference, left=mismatch.key in left)


def _fetch(connection: Connection, reading: Reading, found: Sequence[Mismatch]) -> dict[bytes, _Row]:
    columns = [(name, sql.Identifier("t", name)) for name in reading.names]
    texts = [sql.SQL("{}::text").format(reading.columns.text(name, value)) for name, value in columns]
    query = sql.SQL(ROWS).format(
        digests=sql.SQL(", ").join(sql.SQL("md5({})").format(reading.columns.bytes(text)) for text in texts),
        shown=sql.SQL(", ").join(
            sql.SQL("left({}::text, {})").format(value, sql.Literal(LONGEST)) for _, value in columns
        ),
        key=reading.key_bytes,
        rows=reading.relation.rows,
        among=reading.among({mismatch.number for mismatch in found}),
        # a literal, not a parameter: where there are parameters, a percent sign in a column's name would be another
        keys=sql.Literal([mismatch.key for mismatch in found]),
    )
    rows = connection.execute(query)
    return {
        bytes(key): _Row(dict(zip(reading.names, digests, strict=True)), dict(zip(reading.names, shown, strict=True)))
        for key, digests, shown in rows
    }


def _difference(
    mismatch: Mismatch, key: Sequence[str], one: _Row | None, other: _Row | None, parked: bool
) -> Difference:
    row = one or other or _Row({}, {})
    counts = [_count(content) for content in (mismatch.source, mismatch.target)]
    what = What.DIFFERS
    if counts[0] != counts[1]:
        what = What.MISSING if counts[0] > counts[1] else What.EXTRA
    names = key or tuple(row.shown)
    return Difference(
        what=what,
        key={name: shorten(row.shown.get(name)) for name in names},
        columns=tuple(_columns(one, other)) if one and other and what is What.DIFFERS else (),
        source_rows=counts[0],
        target_rows=counts[1],
        parked=parked,
    )


def _count(content: str | int | None) -> int:
    return content if isinstance(content, int) else int(content is not None)


def _columns(one: _Row, other: _Row) -> Iterator[ColumnDifference]:
    for name, digest in one.digests.items():
        if digest != other.digests[name]:
            ours, theirs = one.shown[name], other.shown[name]
            yield ColumnDifference(name, shorten(ours, theirs), shorten(theirs, ours))


def shorten(value: str | None, other: str | None = None) -> str | None:
    """A long value cut to the part around the first character in which it differs from the other."""
    if value is None or len(value) <= WIDTH:
        return value
    same = 0
    if other is not None:
        same = next((i for i, pair in enumerate(zip(value, other, strict=False)) if pair[0] != pair[1]), len(other))
    start = max(0, min(same - 10, len(value) - WIDTH))
    cut = value[start : start + WIDTH]
    return f"{'…' if start else ''}{cut}{'…' if start + WIDTH < len(value) else ''}"


PARKED = """
select {key} from {schema}.parked p cross join lateral jsonb_populate_record(null::{table}, p.key) t
where (p.sync, p.source, p.schema_name, p.table_name) = ({link})
"""


def parked_keys(look: Look, ours: Reading, theirs: Reading) -> frozenset[bytes]:
    """The keys that lie among the dead letters of either side."""
    sides = ((look.target, theirs), (look.source, ours))
    found: set[bytes] = set()
    for direction, (receiver, reading) in zip(look.directions, sides, strict=False):
        found |= _parked(receiver, reading, direction.link)
    return frozenset(found)


LEFT = """
select distinct {key} from {schema}.conflict c cross join lateral jsonb_populate_record(null::{table}, c.key) t
where (c.sync, c.schema_name, c.table_name) = ({names}) and c.rule in ('skip', 'abort')
"""


def left_keys(look: Look, ours: Reading, theirs: Reading) -> frozenset[bytes]:
    """The keys on which either side has noted a conflict that was left alone."""
    if not look.directions[0].link.mutual or not ours.key:
        return frozenset()
    return _left(look.source, ours, look.directions[0].link) | _left(look.target, theirs, look.directions[0].link)


def _left(node: Connection, reading: Reading, link: Link) -> frozenset[bytes]:
    if not progress.exists(node, link.install):
        return frozenset()
    name = reading.relation.name
    query = sql.SQL(LEFT).format(
        key=reading.key_bytes,
        schema=sql.Identifier(link.install.schema),
        table=reading.relation.identifier,
        names=sql.SQL(", ").join(map(sql.Literal, (link.sync.name, name.schema, name.name))),
    )
    return frozenset(bytes(key) for (key,) in node.execute(query))


def _parked(receiver: Connection, reading: Reading, link: Link) -> set[bytes]:
    if not progress.exists(receiver, link.install):
        return set()
    name = reading.relation.name
    values = (link.sync.name, link.source.name, name.schema, name.name)
    query = sql.SQL(PARKED).format(
        key=reading.key_bytes,
        schema=sql.Identifier(link.install.schema),
        table=reading.relation.identifier,
        link=sql.SQL(", ").join(map(sql.Literal, values)),
    )
    return {bytes(key) for (key,) in receiver.execute(query)}

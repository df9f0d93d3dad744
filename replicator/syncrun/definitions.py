"""How the two sides of a link have a table defined, and what follows: it travels whole, narrower, or is parked. Pure.

A column that one side has got and the other has not yet is left out meanwhile, and what the target lacked is filled in
later. Whatever else differs parks the table: its changes wait in the source's log, and the link's others flow.
The two errors by which a batch asks for another look are here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from replicator.apply.stage import Stage
from replicator.columns import Known
from replicator.differences import lacking, mismatches
from replicator.errors import SchemaMismatch, Transient
from replicator.model import Link, SyncType, TableName
from replicator.relations import Relation


class DefinitionChanged(Transient):
    """A table's definition changed; looking again."""


class TableRefused(SchemaMismatch):
    """A table cannot go on as it is; it alone is to be parked. reason: a phrase for people."""

    def __init__(self, table: TableName, reason: str) -> None:
        super().__init__(f"{table}: {reason}.")
        self.table, self.reason = table, reason


@dataclass(frozen=True)
class Sides:
    """One table as a link's two ends have it; None where it does not exist.

    known: what the target knows of it. held: whether it has the table's rows already.
    """

    link: Link
    source: Relation | None
    target: Relation | None
    known: Known | None
    held: bool

    @property
    def added(self) -> tuple[str, ...]:
        """Columns that are new on the source and that the target lacks."""
        if self.source is None or self.target is None:
            return ()
        common = self.known.common if self.known else ()
        return tuple(name for name in lacking(self.source, self.target) if name not in common)

    @property
    def by_rows(self) -> bool:
        """Whether rows travel one by one, not the whole table."""
        return self.link.sync.type is not SyncType.FULLCOPY


def judge(sides: Sides) -> Known:
    """What is to be known of a table from now on; `parked` and `note` say what becomes of it."""
    old = sides.known
    source, target = sides.source, sides.target
    if source is None or target is None:
        missing = sides.link.source if source is None else sides.link.target
        return replace(old or Known(common=frozenset()), parked=True, note=f"the table is missing on {missing.name}")
    common = frozenset(column.name for column in source.columns) - set(lacking(source, target))
    gaps = list(_gaps(sides.link, source, target))
    filling = _filling(sides, source, target)
    after = old.after if old and filling == old.filling else None
    faults = list(_faults(sides, source, target, old or Known(common=common)))
    if faults:
        before = old.common if old and old.common else common
        return Known(common=before, filling=filling, after=after, parked=True, note="; ".join(faults))
    if not gaps and filling:
        gaps = [_being_filled(filling)]
    return Known(common=common, filling=filling, after=after, note="; ".join(gaps))


def filled(known: Known) -> Known:
    """What is known of a table once all values have been brought of the columns that are there by now."""
    note = "" if known.note == _being_filled(known.filling) else known.note
    return replace(known, filling=known.filling - known.common, after=None, note=note)


def _being_filled(names: frozenset[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in sorted(names))
    return f"values of {'column' if len(names) == 1 else 'columns'} {listed} are being filled in"


def _gaps(link: Link, source: Relation, target: Relation) -> Iterator[str]:
    """Columns that are left out until the other side has them."""
    for name in lacking(source, target):
        yield f'column "{name}" is missing on {link.target.name}, it is left out until it is there'
    for name in lacking(target, source):
        yield f'column "{name}" is missing on {link.source.name}, it is left out until it is there'


def _filling(sides: Sides, source: Relation, target: Relation) -> frozenset[str]:
    """Columns to be filled in, now or when they are there.

    A slave gets the source's values also of a column that it had first. Between masters whoever had it first has them.
    """
    if sides.by_rows and not sides.held:
        return frozenset()  # its first copy brings everything
    wanted = set(sides.known.filling) if sides.known else set()
    wanted |= set(lacking(source, target))
    if not sides.link.mutual:
        wanted |= set(lacking(target, source))
    written = {column.name for column in source.written} | set(lacking(target, source))
    return frozenset(name for name in wanted & written if not _generated(target, name))


def _generated(relation: Relation, name: str) -> bool:
    return any(column.name == name and column.generated for column in relation.columns)


def _faults(sides: Sides, source: Relation, target: Relation, known: Known) -> Iterator[str]:
    """What keeps rows from travelling."""
    link, by_rows = sides.link, sides.by_rows
    here, there = link.source.name, link.target.name
    yield from mismatches(source, target, here, there, keyed=by_rows)
    if by_rows and not link.mutual and not source.key:
        yield f"it has no primary key and no unique index on NOT NULL columns on {here}"
    if link.mutual and set(source.key) != set(target.key):
        yield f"its key is ({', '.join(source.key)}) on {here} and ({', '.join(target.key)}) on {there}"
    counters = link.sync.counters_of(source.name) if link.mutual else ()
    for one, other, place in ((source, target, there), (target, source, here)):
        for name in lacking(one, other):
            if name in known.common:
                yield f'column "{name}" was dropped or renamed on {place}'
            elif name in counters:
                yield f'counter "{name}" is missing on {place}'
            elif by_rows and not sides.held:
                yield f'column "{name}" is missing on {place}, and the table has yet to be copied'
            elif by_rows and not source.key:
                yield f'column "{name}" is missing on {place}, and the table has no key'
    for name in lacking(target, source):
        if target.column(name).required:
            yield f'column "{name}" is missing on {here}, and {there} has it as NOT NULL without a default'
    if by_rows and source.key and lacking(target, source) and Stage(target).replaces:
        yield f"{there} has a column more, and rows there cannot be updated, only deleted and inserted again"

"""The part of the catalog that only `bucardo_ctl` fills: its settings, its tables ("goats"), options without effect.

A goat is a table or sequence that was made known, whether or not a herd lists it.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.rows import TupleRow

from replicator.catalog import records
from replicator.catalog.records import RunRecord
from replicator.model import TableName


@dataclass(frozen=True, kw_only=True)
class Goat:
    """kind: "table" or "sequence". key, types: the key's columns with their types. conflict: None: the sync says."""

    db: str
    table: TableName
    kind: str = "table"
    key: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    conflict: str | None = None


class BucardoTables:
    """Methods of `Catalog`, in a file of their own."""

    def _run(self, query: str, **values: object) -> None:
        raise NotImplementedError

    def _rows(self, query: str, **values: object) -> list[TupleRow]:
        raise NotImplementedError

    def bucardo_settings(self) -> dict[str, str]:
        """The settings that were set; nothing at all where `bucardo_ctl` has not installed."""
        return dict(self._rows("bucardo_settings"))

    def set_bucardo(self, setting: str, value: str) -> None:
        """Set one; the daemon hears of it."""
        self._run("set_bucardo", setting=setting, value=value)

    def add_goat(self, goat: Goat) -> bool:
        """Make a relation known; False when it was already."""
        values = {"key": "|".join(goat.key), "types": "|".join(goat.types), "conflict": goat.conflict}
        return bool(self._rows("add_goat", **_place(goat.db, goat.table), kind=goat.kind, **values))

    def goats(self) -> list[Goat]:
        """All, in the order in which they were added."""
        return [_goat(row) for row in self._rows("goats")]

    def set_conflict(self, db: str, table: TableName, conflict: str | None) -> None:
        """Say who wins a table's conflicts; the swaps that move it follow."""
        self._run("set_goat_conflict", **_place(db, table), conflict=conflict)

    def remove_goat(self, db: str, table: TableName) -> None:
        """Forget one."""
        self._run("remove_goat", **_place(db, table))

    def set_habit(self, noun: str, name: str, key: str, value: str) -> None:
        """Keep an option that has no effect."""
        self._run("set_habit", noun=noun, name=name, key=key, value=value)

    def habits(self) -> dict[tuple[str, str], dict[str, str]]:
        """The options that were kept, by noun and name of their object."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        for noun, name, key, value in self._rows("habits"):
            found.setdefault((noun, name), {})[key] = value
        return found

    def forget_habits(self, noun: str, name: str) -> None:
        """Forget an object's."""
        self._run("forget_habits", noun=noun, name=name)

    def last_run(self) -> int:
        """The id of the latest run in the history; 0 if there is none."""
        return int(self._rows("last_run")[0][0])

    def failures(self, after: int) -> list[RunRecord]:
        """The runs that failed for the first time after that one, oldest first, 100 at most."""
        return [records.run_record(row) for row in self._rows("failures", after=after)]

    def touch(self) -> None:
        """Have the daemon look at everything anew."""
        self._run("touch_revision")


def _place(db: str, table: TableName) -> dict[str, object]:
    return {"db": db, "schema": table.schema, "name": table.name}


def _goat(row: TupleRow) -> Goat:
    db, schema, name, kind, key, types, conflict = row
    return Goat(
        db=db,
        table=TableName(schema, name),
        kind=kind,
        key=tuple(key.split("|")) if key else (),
        types=tuple(types.split("|")) if types else (),
        conflict=conflict,
    )

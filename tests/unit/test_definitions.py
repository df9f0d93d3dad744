"""What follows from two definitions of one table: a plain table of cases."""

from __future__ import annotations

import pytest

from replicator.columns import Known
from replicator.model import Database, Install, Link, Sync, SyncType, TableName
from replicator.relations import Column, Operator, Relation
from replicator.syncrun.definitions import Sides, filled, judge

NAME = TableName("public", "t")


def column(name: str, type_: str = "integer", *, notnull: bool = False, default: bool = False) -> Column:
    return Column(
        name=name,
        type=type_,
        stage_type=type_,
        notnull=notnull,
        generated=False,
        identity="",
        binary=True,
        default=default,
    )


def table(*columns: Column, key: tuple[str, ...] = ("id",)) -> Relation:
    keys = frozenset({frozenset(key)}) if key else frozenset[frozenset[str]]()
    return Relation(
        name=NAME,
        oid=1,
        kind="r",
        columns=(column("id", notnull=True), *columns),
        key=key,
        equal=tuple(Operator("pg_catalog", "=") for _ in key),
        arbiters=keys,
        candidates=keys,
    )


def link(kind: SyncType, counters: tuple[str, ...] = ()) -> Link:
    sync = Sync(name="s", type=kind, herd="h", targets=("b",), counters=counters)
    a, b = (Database(name=name, dbname=name) for name in "ab")
    return Link(install=Install(), sync=sync, source=a, target=b, lead="a", tables=(NAME,))


def judged(
    source: Relation | None,
    target: Relation | None,
    *,
    common: set[str] | None = None,
    filling: set[str] = frozenset(),  # type: ignore[assignment]
    kind: SyncType = SyncType.PUSHDELTA,
    held: bool = True,
    counters: tuple[str, ...] = (),
) -> Known:
    known = None if common is None else Known(common=frozenset(common), filling=frozenset(filling))
    return judge(Sides(link(kind, counters), source, target, known, held))


def test_equal_tables_travel_whole() -> None:
    assert judged(table(column("v")), table(column("v"))) == Known(common=frozenset({"id", "v"}))


@pytest.mark.parametrize("kind", SyncType)
def test_what_the_target_lacks_is_left_out_and_filled_in_later(kind: SyncType) -> None:
    now = judged(table(column("v"), column("x")), table(column("v")), common={"id", "v"}, kind=kind)
    assert (now.parked, now.common, now.filling) == (False, {"id", "v"}, {"x"})
    assert not now.due
    later = judged(
        table(column("v"), column("x")), table(column("v"), column("x")), common=now.common, filling=now.filling
    )
    assert later.due
    assert later.note == 'values of column "x" are being filled in'
    assert filled(later) == Known(common=frozenset({"id", "v", "x"}))


@pytest.mark.parametrize(
    ("kind", "filling"), [(SyncType.PUSHDELTA, {"x"}), (SyncType.FULLCOPY, {"x"}), (SyncType.SWAP, set())]
)
def test_whose_values_count_of_a_column_that_the_target_had_first(kind: SyncType, filling: set[str]) -> None:
    now = judged(table(), table(column("x")), common={"id"}, kind=kind)
    assert (now.parked, now.filling) == (False, filling)


def test_a_column_that_went_again_needs_no_filling() -> None:
    assert judged(table(), table(), common={"id"}, filling={"x"}) == Known(common=frozenset({"id"}))


@pytest.mark.parametrize(
    ("source", "target", "options", "note"),
    [
        (None, table(), {}, "the table is missing on a"),
        (table(), None, {}, "the table is missing on b"),
        (table(column("v")), table(column("v", "text")), {}, 'column "v" is integer on a and text on b'),
        (table(column("v")), table(), {"common": {"id", "v"}}, 'column "v" was dropped or renamed on b'),
        (table(), table(column("v")), {"common": {"id", "v"}}, 'column "v" was dropped or renamed on a'),
        (
            table(column("v")),
            table(),
            {"held": False},
            'column "v" is missing on b, and the table has yet to be copied',
        ),
        (
            table(),
            table(column("v", notnull=True)),
            {"common": {"id"}},
            'column "v" is missing on a, and b has it as NOT NULL without a default',
        ),
        (
            table(column("n")),
            table(),
            {"common": {"id"}, "kind": SyncType.SWAP, "counters": ("n",)},
            'counter "n" is missing on b',
        ),
        (
            table(column("v"), key=()),
            table(key=()),
            {"common": {"id"}, "kind": SyncType.SWAP},
            'column "v" is missing on b, and the table has no key',
        ),
        (table(key=()), table(key=()), {}, "it has no primary key and no unique index on NOT NULL columns on a"),
    ],
)
def test_what_parks_a_table(
    source: Relation | None, target: Relation | None, options: dict[str, object], note: str
) -> None:
    now = judged(source, target, **options)  # type: ignore[arg-type]
    assert now.parked
    assert not now.due
    assert note in now.note

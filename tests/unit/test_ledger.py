"""Conflicts as values: their kinds, which notes are one conflict, and how another strategy would have decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from replicator.cli.conflicts import shown
from replicator.cli.values import moment
from replicator.errors import NotFound, UsageError
from replicator.ledger.entry import Conflict, Side, merged
from replicator.ledger.reading import parse
from replicator.ledger.trying import by_rule
from replicator.model import Database, Herd, Strategy, Sync, SyncType, TableName, Topology

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TABLE = TableName("public", "t")
TOPOLOGY = Topology(
    databases={
        "one": Database(name="one", dbname="x", id=1),
        "two": Database(name="two", dbname="x", id=2),
    },
    herds={"h": Herd(name="h", database="one", tables=(TABLE,))},
    syncs={"s": Sync(name="s", type=SyncType.SWAP, herd="h", targets=("two",))},
)


def after(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


def conflict(**changes: object) -> Conflict:
    """An update by `one` that arrived on `two`, where a later update was, which won."""
    usual = Conflict(
        node="two",
        number=7,
        sync="s",
        table=TABLE,
        key={"id": 1},
        incoming=Side("one", "U", after(1)),
        local=Side("two", "U", after(2)),
        incoming_wins=False,
        rule="latest",
        decided_at=after(3),
    )
    return replace(usual, **changes)


def mirrored(note: Conflict, number: int, at: datetime) -> Conflict:
    """The note of the same conflict on the other master."""
    return replace(
        note,
        node=note.incoming.node,
        number=number,
        incoming=note.local,
        local=note.incoming,
        incoming_wins=not note.incoming_wins,
        decided_at=at,
    )


@pytest.mark.parametrize(
    ("incoming", "local", "kind"),
    [
        ("I", "I", "insert/insert"),
        ("U", "U", "update/update"),
        ("U", "D", "update/delete"),
        ("D", "U", "delete/update"),
        ("D", "D", "delete/delete"),
        ("I", "U", "insert/update"),
    ],
)
def test_kinds_name_the_incoming_change_first(incoming: str, local: str, kind: str) -> None:
    assert conflict(incoming=Side("one", incoming, NOON), local=Side("two", local, NOON)).kind == kind


def test_the_winner_and_the_loser_are_sides() -> None:
    lost, won = conflict(), conflict(incoming_wins=True)
    assert (lost.ending, lost.losers) == ("two", (lost.incoming,))
    assert (won.ending, won.losers) == ("one", (won.local,))
    assert lost.name == "two:7"


def test_where_rows_are_merged_or_left_both_have_lost() -> None:
    for changes, ending in (
        ({"merges": True}, "merged"),
        ({"rule": "skip"}, "neither"),
        ({"rule": "abort"}, "neither"),
    ):
        note = conflict(**changes)
        assert (note.ending, note.losers) == (ending, note.sides)


def test_notes_of_one_conflict_are_one() -> None:
    note = conflict()
    other = mirrored(note, 3, after(4))
    (one,) = merged([other, note])
    assert (one.name, one.also, one.kind) == ("two:7", ("one:3",), "update/update")


def test_another_version_is_another_conflict() -> None:
    note = conflict()
    later = conflict(number=8, local=Side("two", "U", after(5)), decided_at=after(6))
    elsewhere = conflict(number=9, key={"id": 2}, decided_at=after(7))
    assert [each.name for each in merged([note, later, elsewhere])] == ["two:9", "two:8", "two:7"]
    assert [each.name for each in merged([note, later, elsewhere], 2)] == ["two:9", "two:8"]


@pytest.mark.parametrize(
    ("strategy", "ending"),
    [(Strategy.LATEST, "two"), (Strategy.SOURCE, "one"), (Strategy.TARGET, "two"), (Strategy.SKIP, "neither")],
)
def test_another_strategy_may_decide_otherwise(strategy: Strategy, ending: str) -> None:
    note = conflict()
    assert by_rule(TOPOLOGY, strategy, note) == ending
    assert by_rule(TOPOLOGY, strategy, mirrored(note, 1, NOON)) == ending


def test_what_is_not_declared_cannot_be_judged() -> None:
    assert by_rule(TOPOLOGY, Strategy.LATEST, conflict(sync="gone")) is None
    assert by_rule(TOPOLOGY, Strategy.LATEST, conflict(incoming=Side("gone", "U", NOON))) is None


def test_names() -> None:
    assert parse(TOPOLOGY, "two:7") == (TOPOLOGY.databases["two"], 7)
    for wrong in ("7", "two", "two:x", "two:-1", "two:99999999999999999999"):
        with pytest.raises(UsageError, match="does not name a conflict"):
            parse(TOPOLOGY, wrong)
    with pytest.raises(NotFound, match="no database 'three'"):
        parse(TOPOLOGY, "three:1")


def test_values_are_shown_with_every_digit() -> None:
    assert shown(Decimal("12345678901234567890.10")) == "12345678901234567890.10"
    assert [shown(value) for value in ("a", None, True, [1])] == ['"a"', "null", "true", "[1]"]


def test_moments() -> None:
    assert moment("2h", NOON) == NOON - timedelta(hours=2)
    assert moment("2026-01-30", NOON) == datetime(2026, 1, 30, tzinfo=UTC)
    assert moment("2026-01-30 10:00+02:00", NOON) == datetime(2026, 1, 30, 8, tzinfo=UTC)
    for wrong in ("yesterday", "99999999999999d"):
        with pytest.raises(UsageError, match="neither a time nor a duration"):
            moment(wrong, NOON)

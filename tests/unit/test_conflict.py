"""Versions, standings and strategies, one by one; `tests/simulator` plays them together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator import conflict
from replicator.conflict import Claim, Newest, Outcome, Rule, Standing, Version
from replicator.model import Database, Herd, Strategy, Sync, SyncType, TableName, Topology

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
versions = st.builds(Version, moments, st.integers(1, 4))
claims = st.builds(Claim, versions, st.integers(1, 4), st.booleans())


def topology(**options: object) -> Topology:
    table = TableName("public", "t")
    return Topology(
        databases={name: Database(name=name, dbname="x", id=number) for number, name in enumerate("abc", 1)},
        herds={"h": Herd(name="h", database="a", tables=(table,))},
        syncs={"s": Sync(name="s", type=SyncType.SWAP, herd="h", targets=("b", "c"), **options)},
    )


def rule(text: str) -> Rule:
    declared = topology()
    return conflict.rule(declared, declared.syncs["s"], text)


@given(claims, claims)
@pytest.mark.parametrize("text", ["latest", "source", "target", "random", "c, a", "sql:public.f"])
def test_both_sides_name_the_same_winner(text: str, one: Claim, other: Claim) -> None:
    judged = rule(text)
    if one.version != other.version:
        assert judged.wins(one, other, "row") is not judged.wins(other, one, "row")


@given(claims, claims)
@pytest.mark.parametrize("text", ["skip", "abort"])
def test_some_strategies_name_none(text: str, one: Claim, other: Claim) -> None:
    assert (rule(text).wins(one, other, "row") is None) is not (one.settled and other.settled)


@given(versions, versions, st.sampled_from([True, False]))
def test_what_is_to_stay_is_the_last_version_afterwards(incoming: Version, local: Version, wins: bool) -> None:
    outcome = conflict.outcome(wins, incoming, local)
    kept = incoming if outcome is Outcome.TAKE else local
    if outcome in (Outcome.TAKE_ANEW, Outcome.KEEP_ANEW):
        kept = Version(conflict.anew(incoming, local), local.node)
    assert (outcome in (Outcome.TAKE, Outcome.TAKE_ANEW)) is wins
    assert kept >= max(incoming, local)


@pytest.mark.parametrize(
    ("text", "author", "against", "wins"),
    [
        ("source", 1, 2, True),
        ("source", 3, 2, True),
        ("target", 1, 2, False),
        ("target", 3, 2, True),
        ("b, c", 3, 2, False),
        ("b, c", 1, 2, False),
        ("b, c", 3, 1, True),
    ],
)
def test_places(text: str, author: int, against: int, wins: bool) -> None:
    newer, older = Claim(Version(LATER, author), author), Claim(Version(NOON, against), against)
    assert rule(text).wins(newer, older, "row") is wins


def test_standings() -> None:
    old, new = Version(NOON, 1), Version(LATER, 2)
    assert conflict.standing(new, None) is Standing.NEWER
    assert conflict.standing(old, Newest(Version(LATER, 1), local=False)) is Standing.NEWER  # of one author
    assert conflict.standing(new, Newest(old, local=True)) is Standing.RIVAL
    assert conflict.standing(old, Newest(new, local=True, seen=True)) is Standing.NEWER
    assert conflict.standing(old, Newest(new, local=False, knew=True)) is Standing.OLDER
    assert conflict.standing(new, Newest(old, local=False, knew=True)) is Standing.NEWER
    assert conflict.standing(new, Newest(old, local=False)) is Standing.RIVAL


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("latest", (Strategy.LATEST, ())),
        ("b,a", (Strategy.ORDER, ("b", "a"))),
        ("b", (Strategy.ORDER, ("b",))),
        ("sql: s.f", (Strategy.SQL, ("s.f",))),
        ("python:a.b:f", (Strategy.PYTHON, ("a.b", "f"))),
        ("python:/x/y.py:f", (Strategy.PYTHON, ("/x/y.py", "f"))),
    ],
)
def test_strategies_are_read(text: str, named: tuple[Strategy, tuple[str, ...]]) -> None:
    assert conflict.named(text) == named


@pytest.mark.parametrize("text", ["", "a,,b", "perl:f", "python:f", "python:m:not a name", "sql:"])
def test_what_is_no_strategy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"strategy|Python function"):
        conflict.named(text)

"""The pump between two servers: what it moves, and how it ends when one of them, or the caller, does not go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from replicator.apply import pump
from replicator.config import Config
from replicator.postgres import Connection, Connector
from tests.fixtures.nodes import Pair

Ends = tuple[Connection, Connection]
INTO = sql.Composed([sql.SQL("public.t")])


@pytest.fixture
def ends(nodes: Pair) -> Iterator[Ends]:
    nodes.target.execute("create table t (id int primary key, value text)")
    connector = Connector(Config(catalog={}))
    with connector.open(nodes.source.database) as source, connector.open(nodes.target.database) as target:
        yield source, target


def move(ends: Ends, query: str, moved: pump.Moved = lambda _: None, *, binary: bool = True) -> int:
    return pump.pump(ends[0], sql.Composed([sql.SQL(query)]), ends[1], INTO, binary=binary, moved=moved)


def landed(ends: Ends) -> tuple[Any, ...]:
    return ends[1].execute("select count(*), sum(id), sum(length(value)) from public.t").fetchone() or ()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "text"])
@pytest.mark.parametrize("size", [0, 1, 100, 3 * pump.CHUNK])
def test_every_row_lands_whatever_its_size(ends: Ends, size: int, binary: bool) -> None:
    count = 3_000_000 // (size + 1000)
    query = f"select i, repeat('x', {size}) from generate_series(1, {count}) i"
    assert move(ends, query, binary=binary) == count
    assert landed(ends) == (count, count * (count + 1) // 2, count * size)


def test_no_rows(ends: Ends) -> None:
    assert [move(ends, "select 1, 'x' where false", binary=binary) for binary in (True, False)] == [0, 0]


def test_what_is_moved_is_told_in_pieces(ends: Ends) -> None:
    sizes: list[int] = []
    move(ends, "select i, repeat('x', 100) from generate_series(1, 20000) i", sizes.append)
    assert len(sizes) > 10
    assert 20000 * 100 < sum(sizes) < 20000 * 130


@pytest.mark.parametrize("last", [10, 100_000], ids=["at once", "in full flow"])
def test_an_error_of_the_source_is_its_own(ends: Ends, last: int) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero) as caught:
        move(ends, f"select i, (1 / ({last} - i))::text from generate_series(1, {last}) i")
    assert caught.value.diag.message_primary == "division by zero"
    for end in ends:
        end.rollback()
    assert landed(ends)[0] == 0
    assert move(ends, "select 1, 'x'") == 1


def test_an_error_of_the_target_is_its_own(ends: Ends) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        move(ends, "select greatest(i, 2), repeat('x', 100) from generate_series(1, 200000) i")
    for end in ends:
        end.rollback()
    assert move(ends, "select 1, 'x'") == 1


def test_who_is_told_may_stop_it(ends: Ends) -> None:
    def stop(_: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        move(ends, "select i, repeat('x', 100) from generate_series(1, 10000000) i", stop)
    for end in ends:
        end.rollback()
    assert landed(ends)[0] == 0
    assert move(ends, "select 1, 'x'") == 1

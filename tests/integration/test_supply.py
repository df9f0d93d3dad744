"""Reading ahead: what comes of it, how far it goes, and how it ends when nobody takes the rows any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from replicator.apply import supply as rules
from replicator.apply.pump import copy_in, copy_out
from replicator.apply.supply import Supply
from replicator.config import Config
from replicator.postgres import Connection, Connector
from tests.fixtures.nodes import Pair
from tests.fixtures.wait import until

Ends = tuple[Connection, Connection]
SOME = "select i, repeat('x', 1000) from generate_series(1, {}) i"


@pytest.fixture
def ends(nodes: Pair) -> Iterator[Ends]:
    nodes.target.execute("create table t (id int, value text)")
    connector = Connector(Config(catalog={}))
    with connector.open(nodes.source.database) as source, connector.open(nodes.target.database) as target:
        yield source, target


def supply(ends: Ends, *queries: str) -> Supply:
    return Supply(ends[0], [copy_out(sql.Composed([sql.SQL(query)]), binary=True) for query in queries])


def take(ends: Ends, rows: Supply) -> int:
    """Take what is left of a statement."""
    with ends[1].cursor() as writer:
        with writer.copy(copy_in(sql.Composed([sql.SQL("public.t")]), binary=True)) as sink:
            assert not rows.forward(sink, lambda _: None, float("inf"))
        return writer.rowcount


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "reads ahead" in thread.name]


def test_the_rows_of_one_statement_after_another(ends: Ends) -> None:
    with supply(ends, SOME.format(3000), SOME.format(0), SOME.format(10)) as rows:
        assert [take(ends, rows) for _ in range(3)] == [3000, 0, 10]
    assert not readers()
    assert ends[0].execute("select 1").fetchall() == [(1,)]


def test_it_reads_so_far_ahead_and_no_farther(ends: Ends) -> None:
    with supply(ends, SOME.format(50000)) as rows:
        until(lambda: len(rows._pieces) == rules.AHEAD, 20, "it has read as much as it may")
        assert take(ends, rows) == 50000
        assert len(rows._spare) <= rules.AHEAD + 2, "buffers are used again"


def test_an_error_of_the_source_comes_after_the_rows_before_it(ends: Ends) -> None:
    with (
        pytest.raises(psycopg.errors.DivisionByZero),
        supply(ends, SOME.format(10), "select i, (1 / (3 - i))::text from generate_series(1, 5) i") as rows,
    ):
        assert take(ends, rows) == 10
        take(ends, rows)
    for end in ends:
        end.rollback()
    assert ends[0].execute("select 1").fetchall() == [(1,)]


@pytest.mark.parametrize("query", [SOME.format(10**7), "select 1, pg_sleep(60)::text"], ids=["in full flow", "at work"])
def test_a_query_whose_rows_nobody_takes_is_cancelled(ends: Ends, query: str) -> None:
    began = time.monotonic()
    with pytest.raises(KeyError), supply(ends, query):
        raise KeyError
    assert time.monotonic() - began < 10
    assert not readers()
    ends[0].rollback()
    assert ends[0].execute("select 1").fetchall() == [(1,)]

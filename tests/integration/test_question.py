"""Questions that are asked again and again: what the driver and the server do meanwhile is no matter."""

from __future__ import annotations

import psycopg
import pytest

from replicator.question import Question
from tests.fixtures.nodes import Pair


def test_it_is_answered_also_after_the_driver_has_had_all_forgotten(nodes: Pair) -> None:
    with nodes.source.connect() as connection:
        one = Question(connection, "select 1, null::text")
        assert one.ask() == (b"1", b"")
        connection.execute("deallocate all")
        assert one.ask() == one.ask() == (b"1", b"")


def test_errors_are_the_driver_s(nodes: Pair) -> None:
    with nodes.source.connect() as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            Question(connection, "select * from nowhere").ask()
        with pytest.raises(psycopg.errors.DivisionByZero):
            Question(connection, "select 1 / (random() * 0)::int").ask()
        one = Question(connection, "select 1")
        assert one.ask() == (b"1",)
        nodes.source.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            one.ask()

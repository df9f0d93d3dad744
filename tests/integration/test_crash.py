"""What a crash of a server may and may not do to a link."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from replicator.errors import ReplicatorError
from tests.fixtures.lab import Build, rows
from tests.fixtures.nodes import NodeFactory
from tests.fixtures.servers import Server

pytestmark = pytest.mark.both_captures

TABLE = "create table t (id int primary key, v text)"


def test_a_source_that_forgets_commits_does_not_reuse_their_place(
    private_server: Callable[..., Server], node_factory: NodeFactory, lab: Build
) -> None:
    """With synchronous_commit off, a crash may take back commits, and give their transaction ids to others."""
    careless = private_server(synchronous_commit="off", wal_writer_delay="10s", fsync="on")
    source = node_factory("source", server=careless, schema=TABLE)
    target = node_factory("target", schema=TABLE)
    made = lab([source, target])
    made.settle()
    source.execute("checkpoint")
    source.execute("insert into t values (1, 'seen by the link')")
    made.run()
    careless.kill9()
    careless.start()
    source.execute("insert into t values (2, 'after the crash')")
    try:
        made.settle()
    except ReplicatorError:
        made.sync()[0].close()
        made.settle()
    assert ('(2,"after the crash")',) in rows(target)
    assert rows(target) == rows(source)


def test_a_target_that_crashes_is_where_it_says(
    private_server: Callable[..., Server], node_factory: NodeFactory, lab: Build
) -> None:
    source = node_factory("source", schema=TABLE)
    fragile = private_server(fsync="on")
    target = node_factory("target", server=fragile, schema=TABLE)
    made = lab([source, target])
    made.settle()
    for number in range(5):
        source.execute("insert into t select %s + i, 'x' from generate_series(1, 10) i", [number * 10])
        made.run()
        fragile.kill9()
        fragile.start()
        made.sync()[0].close()
    made.settle()
    assert rows(target) == rows(source)

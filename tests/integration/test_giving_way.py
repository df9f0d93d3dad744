"""Applications go first: whoever locks rows in another order than the replicator is not disturbed for long."""

from __future__ import annotations

import threading

import pytest

from replicator.change import Counts
from replicator.model import SyncType, TableName
from tests.fixtures.lab import Build
from tests.fixtures.nodes import Pair
from tests.fixtures.wait import until


@pytest.mark.parametrize("kind", [SyncType.PUSHDELTA, SyncType.SWAP])
def test_tables_are_locked_in_the_order_of_the_applications(nodes: Pair, lab: Build, kind: SyncType) -> None:
    """The herd is a, b, c; the application locks b, then a. One tangle, and from then on b comes first."""
    for node in nodes:
        node.execute("; ".join(f"create table {name} (id int primary key, v int)" for name in "abc"))
    nodes.source.execute("; ".join(f"insert into {name} values (1, 0)" for name in "abc"))
    made = lab(list(nodes), kind, ("a", "b", "c"))
    made.settle()
    link = made.sync()[0]
    nodes.source.execute("update a set v = 1; update b set v = 1; update c set v = 1")
    done: list[Counts] = []
    with nodes.target.connect() as application:
        application.autocommit = False
        application.execute("update b set v = 2 where id = 1")
        thread = threading.Thread(target=lambda: done.append(link.run().counts))
        thread.start()
        until(lambda: nodes.target.value("select count(*) from pg_locks where not granted"), 10, "the link waits for b")
        application.execute("update a set v = 2 where id = 1")  # deadlocks unless the link gives way
        application.commit()
    thread.join()
    assert done[0].rows + done[0].conflicts >= 3
    assert next(iter(link._ready.pairs)) == TableName("public", "b")  # type: ignore[union-attr]

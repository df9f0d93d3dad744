"""What arrives from the other of two masters is noted only where it must be, and always once there is a third one."""

from __future__ import annotations

import threading

from replicator.capture import notes
from replicator.model import Install, SyncType, TableName
from replicator.postgres import Connector
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.wait import until

TABLE = "create table t (id int primary key, v text)"
LOG = "pgherd.delta_public_t"
NOTED = "select notes from pgherd.captured"


def swap(lab: Build, nodes: list[Node]) -> Lab:
    for node in nodes:
        if not node.value("select to_regclass('public.t') is not null"):
            node.execute(TABLE)
    if not nodes[0].value("select count(*) from t"):
        nodes[0].execute("insert into t select i, 'v' from generate_series(1, 10) i")
    made = lab(nodes, SyncType.SWAP)
    made.settle()
    return made


def log(node: Node) -> list[tuple[object, ...]]:
    """Each key of the node's log, and whether its rows came from elsewhere, in order."""
    return node.execute(f"select k1, origin is not null from {LOG} order by seq")


def test_a_row_that_only_one_of_two_masters_changes_is_in_its_log_alone(nodes: Pair, lab: Build) -> None:
    made = swap(lab, list(nodes))
    nodes.source.execute(
        "update t set v = 'a' where id <= 3; delete from t where id = 9; insert into t values (11, 'a')"
    )
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    assert log(nodes.target) == []
    nodes.target.execute("update t set v = 'b' where id = 2")
    made.settle()
    assert (2, True) in log(nodes.source)
    nodes.source.execute("update t set v = 'c' where id in (2, 3)")
    made.settle()
    assert log(nodes.target) == [(2, False), (2, True)]
    assert rows(nodes.source) == rows(nodes.target)
    assert ("(2,c)",) in rows(nodes.target)


def test_it_is_noted_from_the_moment_when_a_third_master_may_be_filled(node_factory: NodeFactory, lab: Build) -> None:
    first, second, third = (node_factory(name) for name in ("first", "second", "third"))
    before = swap(lab, [first, second])
    third.execute(TABLE)
    made = lab([first, second, third], SyncType.SWAP)
    (filling,) = (one for one in made.sync() if (one.link.source.name, one.link.target.name) == ("first", "third"))
    filling.prepare()
    assert second.value(NOTED) is True
    # A link of before, which has not heard of the third one: its next batch finds out on the node that it writes to.
    first.execute("update t set v = 'of the first' where id = 1")
    third.execute("update t set v = 'of the third' where id = 1")
    first.execute(f"update {LOG} set changed_at = clock_timestamp() + interval '1 hour' where k1 = 1")
    before.sync()[0].run()
    assert log(second) == [(1, True)]
    before.close()
    made.settle()
    assert rows(first) == rows(second) == rows(third)
    assert ('(1,"of the first")',) in rows(third)


def test_who_has_it_begun_waits_for_the_batch_that_goes_by_its_not_being_so(
    nodes: Pair, lab: Build, connector: Connector
) -> None:
    swap(lab, list(nodes))
    assert nodes.target.value(NOTED) is False
    table, install = TableName("public", "t"), Install()
    with (
        connector.open(nodes.target.database, "batch") as batch,
        connector.open(nodes.target.database, "begin", autocommit=True) as other,
    ):
        assert notes.ask_silent(batch, install, [table])() == {table}
        begins = threading.Thread(target=notes.begin, args=(other, install, [table]))
        begins.start()
        until(lambda: waits_for_a_lock(nodes.target), 10, "the other waits")
        assert nodes.target.value(NOTED) is False
        last = batch.execute("select txid_current()").fetchone()
        batch.commit()
        begins.join()
        assert notes.ask_silent(batch, install, [table])() == set()
    assert nodes.target.value(NOTED) is True
    assert last and nodes.target.value("select whole_from from pgherd.captured") > last[0]


def waits_for_a_lock(node: Node) -> bool:
    return bool(node.value("select count(*) = 1 from pg_locks where locktype = 'advisory' and not granted"))


def test_what_is_not_noted_is_older_than_what_is_written_after_a_clock_was_set_back(nodes: Pair, lab: Build) -> None:
    made = swap(lab, list(nodes))
    nodes.source.execute("update t set v = 'a' where id = 1")
    made.settle()
    arrived = nodes.source.value(f"select max(changed_at) from {LOG} where k1 = 1")
    assert nodes.target.value("select floor from pgherd.node") >= arrived

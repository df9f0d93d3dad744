"""Whether a link notices that there is something to move, whatever was in progress when it last looked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replicator.model import Herd, Install, Sync, SyncType, TableName, Topology
from replicator.postgres import Connector
from replicator.signals import Stop
from replicator.syncrun import LinkRunner
from tests.fixtures.nodes import Pair

pytestmark = pytest.mark.both_captures


@pytest.fixture
def runner(pair: Pair, connector: Connector) -> Iterator[LinkRunner]:
    """A link that has moved all there was."""
    for node in pair:
        node.execute("create table t (id int primary key, v text); create table other (id int)")
    topology = Topology(
        databases={node.name: node.database for node in pair},
        herds={"h": Herd(name="h", database="source", tables=(TableName("public", "t"),))},
        syncs={"s": Sync(name="s", type=SyncType.PUSHDELTA, herd="h", targets=("target",))},
    )
    (link,) = topology.all_links(Install())
    made = LinkRunner(link, topology, connector, Stop(), lambda _: None)
    made.prepare()
    made.run()
    made.run()
    yield made
    made.close()


@pytest.mark.pg("all")
def test_a_change_whose_transaction_was_the_latest_is_not_overlooked(pair: Pair, runner: LinkRunner) -> None:
    """Its id is not below the snapshot's xmax then, so the snapshot does not list it as in progress."""
    with pair.source.connect() as writer:
        writer.autocommit = False
        writer.execute("insert into t values (1, 'x')")
        assert runner.pending(), "something was logged"
        assert runner.run().empty, "and is not committed"
        assert not runner.pending()
    assert runner.pending()
    assert runner.run().counts.inserted == 1
    assert not runner.pending()


@pytest.mark.pg("14")
def test_of_several_such_transactions_each_is_noticed(pair: Pair, runner: LinkRunner) -> None:
    writers = [pair.source.connect() for _ in range(3)]
    for number, writer in enumerate(writers):
        writer.autocommit = False
        writer.execute("insert into t values (%s, 'x')", [number])
    assert runner.run().empty
    for writer in writers:
        writer.commit()
        assert runner.pending()
        assert runner.run().counts.inserted == 1
        writer.close()
    assert not runner.pending()


@pytest.mark.pg("14")
def test_the_traffic_of_others_does_not_keep_a_link_busy(pair: Pair, runner: LinkRunner) -> None:
    with pair.source.connect() as other:
        other.autocommit = False
        for number in range(5):
            other.execute("insert into other values (%s)", [number])
            pair.source.execute("insert into other values (0)")
            assert not runner.pending()
            other.commit()
            assert not runner.pending()

"""Dead letters across several targets: found wherever they answer, named by target, changed all or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from replicator import repair
from replicator.config import Config
from replicator.errors import NotFound, Unreachable
from replicator.postgres import Connector
from tests.fixtures.links import INSTALL, linked, names, topology
from tests.fixtures.nodes import NodeFactory, Pair
from tests.fixtures.servers import Server

TABLE = "create table t (id int primary key, v text)"
STRICT = TABLE + "; alter table t add check (length(v) < 5)"


@pytest.fixture
def plain(tmp_path: Path) -> Connector:
    return Connector(Config(run_dir=tmp_path, log_file=tmp_path / "log"))


def test_a_target_that_does_not_answer_is_said_and_the_others_are_listed(
    node_factory: NodeFactory, plain: Connector, private_server: Callable[..., Server]
) -> None:
    lost = private_server()
    nodes = [
        node_factory("master", schema=TABLE),
        node_factory("slave", schema=STRICT),
        node_factory("lost", schema=STRICT, server=lost),
    ]
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes[0].execute("insert into t values (1, 'much too long')")
        links.run()
        found = repair.find(declared, INSTALL, plain)
        assert [(row.target, row.key, row.row) for row in found.parked] == [
            ("slave", {"id": 1}, {"id": 1, "v": "much too long"}),
            ("lost", {"id": 1}, {"id": 1, "v": "much too long"}),
        ]
        lost.stop("fast")
        found = repair.find(declared, INSTALL, plain)
        assert [row.target for row in found.parked] == ["slave"]
        assert isinstance(found.silent["lost"], Unreachable)
        with pytest.raises(Unreachable):
            repair.retry(declared, INSTALL, plain, ["lost:1"])


def test_a_database_without_anything_of_ours_has_nothing_parked(nodes: Pair, plain: Connector) -> None:
    found = repair.find(topology(nodes, names("t")), INSTALL, plain)
    assert (found.parked, found.silent) == ((), {})


def test_all_are_changed_or_none(nodes: Pair, plain: Connector) -> None:
    nodes.source.execute(TABLE)
    nodes.target.execute(STRICT)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, 'much too long')")
        links.run()
        (row,) = repair.find(declared, INSTALL, plain).parked
        with pytest.raises(NotFound, match="target:999"):
            repair.drop(declared, INSTALL, plain, [row.name, "target:999"])
        assert repair.show(declared, INSTALL, plain, row.name) == row
        assert repair.drop(declared, INSTALL, plain, [row.name]) == [row]
        assert repair.find(declared, INSTALL, plain).parked == ()


def test_a_row_that_is_tried_again_is_read_as_it_is_now(nodes: Pair, plain: Connector) -> None:
    nodes.source.execute(TABLE)
    nodes.target.execute(STRICT)
    declared = topology(nodes, names("t"))
    with linked(declared, plain) as links:
        nodes.source.execute("insert into t values (1, 'much too long')")
        links.run()
        nodes.source.execute("update t set v = 'ok'")
        links.run()
        (row,) = repair.find(declared, INSTALL, plain).parked
        assert row.row == {"id": 1, "v": "ok"}
        assert nodes.target.execute("select * from t") == []
        repair.retry(declared, INSTALL, plain, [row.name])
        links.run()
        assert nodes.target.execute("select * from t") == [(1, "ok")]
        assert repair.find(declared, INSTALL, plain).parked == ()

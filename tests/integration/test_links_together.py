"""Links of one sync start at the same moment and meet on their common source."""

from __future__ import annotations

import threading

from replicator.capture.schema import create_schema
from replicator.model import Install
from replicator.postgres import Connection, Connector
from tests.fixtures.nodes import NodeFactory


def test_the_schema_of_a_node_is_made_once(node_factory: NodeFactory, connector: Connector) -> None:
    for _ in range(10):
        node = node_factory()
        connections = [connector.open(node.database, autocommit=True) for _ in range(4)]
        failures: list[Exception] = []

        def make(connection: Connection, failures: list[Exception] = failures) -> None:
            try:
                create_schema(connection, Install())
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=make, args=(connection,)) for connection in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.close()
        assert failures == []

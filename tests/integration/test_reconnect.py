"""A daemon's thread and its catalog, over broken and half-broken connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from replicator.catalog import Catalog
from replicator.errors import ConnectionLost
from replicator.postgres import Connector
from replicator.reconnect import keep_connected
from replicator.signals import Stop
from tests.fixtures.daemon import next_in_line
from tests.fixtures.nodes import Node
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Server
from tests.fixtures.wait import until


class Holder:
    """Holds a lock in the catalog for as long as it may, in a thread of its own; counts its connections."""

    def __init__(self, connector: Connector) -> None:
        self.connections = 0
        self.holds = False
        self.stop = Stop()
        self._thread = threading.Thread(target=keep_connected, args=(connector, "holder", self._serve, self.stop))
        self._thread.start()

    def _serve(self, catalog: Catalog) -> None:
        self.connections += 1
        while not self.stop.is_set():
            self.holds = self.holds or catalog.try_lock("thing")
            try:
                catalog.wait(0.05)
                catalog.revision()
            except ConnectionLost:
                self.holds = False
                raise

    def end(self) -> None:
        self.stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def line(server: Server, proxy: Callable[[Server], Proxy]) -> Proxy:
    return proxy(server)


@pytest.fixture
def holder(connector: Connector, line: Proxy) -> Iterator[Holder]:
    Catalog.init(connector)
    place = {**connector.config.catalog, "host": line.host, "port": str(line.port)}
    made = Holder(Connector(replace(connector.config, catalog=place)))
    yield made
    made.end()


def test_it_comes_back_after_its_connection_was_ended(holder: Holder, catalog_node: Node) -> None:
    until(lambda: holder.holds, 5, "it holds the lock")
    catalog_node.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%%holder%%'"
    )
    until(lambda: holder.connections == 2 and holder.holds, 5, "it holds the lock again")


def test_it_ends_when_told_also_while_the_catalog_is_away(holder: Holder, line: Proxy) -> None:
    until(lambda: holder.holds, 5, "it holds the lock")
    line.close()
    until(lambda: not holder.holds, 5, "it has lost the lock")
    holder.end()


def test_its_own_ghost_does_not_keep_it_from_its_lock(
    holder: Holder, connector: Connector, catalog_node: Node, line: Proxy
) -> None:
    """The network broke in such a way that the server has not noticed: it keeps the old connection and its lock."""
    until(lambda: holder.holds, 5, "it holds the lock")
    ghost = catalog_node.value("select application_name from pg_stat_activity where application_name like '%%holder%%'")
    with next_in_line(catalog_node, connector.config.install.lock_key("thing"), ghost) as taken:
        line.cut()
        assert taken.wait(5)
        until(lambda: holder.holds and holder.connections > 1, 5, "it holds the lock again")

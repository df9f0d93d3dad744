"""pglogical 2, the extension that PostgreSQL's logical replication grew from: Debian's package, preloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.grounds import MAJOR, Grounds
from tests.fixtures.nodes import Node
from tests.fixtures.wait import until


class PgLogical:
    """pglogical."""

    name = "pglogical"
    # Its supervisor takes no part in signal barriers, so DROP DATABASE never ends where it is preloaded: for it alone.
    settings: Mapping[str, str] = {"shared_preload_libraries": "pglogical"}

    def missing(self) -> str:
        """Its library."""
        if Path(f"/usr/lib/postgresql/{MAJOR}/lib/pglogical.so").exists():
            return ""
        return f"pglogical is not installed (apt-get install postgresql-{MAJOR}-pglogical)"

    def start(self, grounds: Grounds, nodes: Sequence[Node], tables: Sequence[str]) -> PgLogicalSubscriptions:
        """Make nodes, a replication set and subscriptions without a copy."""
        return PgLogicalSubscriptions(nodes, tables)


class PgLogicalSubscriptions:
    """The targets' subscriptions."""

    def __init__(self, nodes: Sequence[Node], tables: Sequence[str]) -> None:
        self._source, *self._targets = nodes
        for node in nodes:
            node.execute("create extension pglogical")
            node.execute("select pglogical.create_node(%s, %s)", [node.name, self._dsn(node)])
        for table in tables:
            self._source.execute("select pglogical.replication_set_add_table('default', %s::regclass)", [table])
        for target in self._targets:
            target.execute(
                "select pglogical.create_subscription('bench', %s, synchronize_structure := false,"
                " synchronize_data := false)",
                [self._dsn(self._source)],
            )
        self._await("replicating")

    def _dsn(self, node: Node) -> str:
        place = node.database
        return f"host={place.host} port={place.port} dbname={place.dbname} user=postgres"

    def _await(self, status: str) -> None:
        query = "select status from pglogical.show_subscription_status()"
        for target in self._targets:
            until(lambda target=target: target.value(query) == status, 60, f"pglogical is {status}", every=0.1)  # type: ignore[misc]

    def pause(self) -> None:
        """Disable them."""
        for target in self._targets:
            target.execute("select pglogical.alter_subscription_disable('bench', true)")
        self._await("disabled")

    def resume(self) -> None:
        """Enable them."""
        for target in self._targets:
            target.execute("select pglogical.alter_subscription_enable('bench', true)")

    def close(self) -> None:
        """Drop them, with their slots and nodes."""
        for target in self._targets:
            target.execute("select pglogical.drop_subscription('bench')")
        for node in (*self._targets, self._source):
            node.execute("select pglogical.drop_node(%s)", [node.name])
            node.execute("drop extension pglogical cascade")

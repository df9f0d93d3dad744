"""PostgreSQL's own logical replication: a publication on the source, a subscription on each target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from bench.grounds import Grounds
from tests.fixtures.nodes import Node
from tests.fixtures.wait import until


class Native:
    """PostgreSQL's own."""

    name = "native"
    settings: Mapping[str, str] = {}

    def missing(self) -> str:
        """Nothing: it is in every server."""
        return ""

    def start(self, grounds: Grounds, nodes: Sequence[Node], tables: Sequence[str]) -> Subscriptions:
        """Publish the tables, and subscribe to them without a copy."""
        return Subscriptions(nodes, tables)


class Subscriptions:
    """The targets' subscriptions."""

    def __init__(self, nodes: Sequence[Node], tables: Sequence[str]) -> None:
        self._source, *self._targets = nodes
        self._source.execute(
            sql.SQL("create publication bench for table {}").format(sql.SQL(", ").join(map(sql.Identifier, tables)))
        )
        place = self._source.database
        for target in self._targets:
            target.execute(
                sql.SQL("create subscription {} connection {} publication bench with (copy_data = false)").format(
                    self._name(target),
                    sql.Literal(f"host={place.host} port={place.port} dbname={place.dbname} user=postgres"),
                )
            )
        self._await("active", True)

    def _name(self, target: Node) -> sql.Identifier:
        return sql.Identifier(f"bench_{target.database.dbname}")

    def _await(self, what: str, active: bool) -> None:
        query = "select count(*) from pg_replication_slots where database = current_database() and active = %s"
        wanted = len(self._targets)
        until(lambda: self._source.value(query, [active]) == wanted, 60, f"subscriptions are {what}")

    def pause(self) -> None:
        """Disable them."""
        for target in self._targets:
            target.execute(sql.SQL("alter subscription {} disable").format(self._name(target)))
        self._await("inactive", False)

    def resume(self) -> None:
        """Enable them."""
        for target in self._targets:
            target.execute(sql.SQL("alter subscription {} enable").format(self._name(target)))

    def close(self) -> None:
        """Drop them, with their slots."""
        for target in self._targets:
            target.execute(sql.SQL("drop subscription {}").format(self._name(target)))

"""The databases of a server, pgbench's tables in them, and what the replication role may do there."""

from __future__ import annotations

from provision.resources import Database, PgbenchTables, ReplicationRights, Resource
from provision.tasks.node import OWNER, Node
from provision.tasks.stage import task
from provision.tasks.starts import replicated, starts_with_data


@task
def databases(node: Node) -> list[Resource]:
    """Every declared database that the host holds, and the catalog if it is its host."""
    declared = node.site.inventory.replication
    if declared is None:
        return []
    wanted: list[Resource] = []
    for dbname, (nickname, _) in node.databases.items():
        wanted += _database(node, dbname, nickname)
    if declared.catalog.host == node.name:
        wanted.append(Database(server=node.server, dbname=declared.catalog.dbname, owner=declared.role))
    return wanted


def _database(node: Node, dbname: str, nickname: str) -> list[Resource]:
    declared = node.site.inventory.replication
    assert declared is not None
    filled = node.filled(nickname)
    owner = OWNER if filled else declared.role
    wanted: list[Resource] = [Database(server=node.server, dbname=dbname, owner=owner)]
    if filled and node.host.pgbench:
        wanted.append(
            PgbenchTables(
                server=node.server,
                dbname=dbname,
                owner=OWNER,
                scale=node.host.pgbench.scale,
                fill=nickname in starts_with_data(declared),
            )
        )
    relations, excluded = replicated(declared, nickname)
    rights = ReplicationRights(
        server=node.server, dbname=dbname, role=declared.role, owner=owner, relations=relations, excluded=excluded
    )
    return [*wanted, rights]

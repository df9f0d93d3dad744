"""The roles of a server: who owns the databases, and who replicates with no more rights than that takes."""

from __future__ import annotations

from provision.resources import ParameterGrant, Resource, Role
from provision.tasks.node import OWNER, Node
from provision.tasks.stage import task
from provision.tasks.tuning import decodes

PARAMETER = "session_replication_role"
"""Whoever may set it can write rows without firing triggers: all that a superuser was needed for."""


@task
def roles(node: Node) -> list[Resource]:
    """The owner's role and the replication role, with their passwords."""
    server = node.server
    wanted: list[Resource] = [
        Role(server=server, role=server.superuser, password=node.superuser_password, superuser=True)
    ]
    if node.host.pgbench:
        wanted.append(Role(server=server, role=OWNER, password=node.site.password(OWNER)))
    declared = node.site.inventory.replication
    if declared:
        wanted += [
            Role(
                server=server,
                role=declared.role,
                password=node.site.role_password,
                superuser_before=15,
                replication=decodes(node),
            ),
            ParameterGrant(server=server, role=declared.role, parameter=PARAMETER),
        ]
    return wanted

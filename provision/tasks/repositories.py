"""Where a host's packages come from."""

from __future__ import annotations

from provision import platforms
from provision.inventory import Source
from provision.resources import Packages, Resource
from provision.tasks.node import Node
from provision.tasks.stage import task


@task
def repositories(node: Node) -> list[Resource]:
    """PGDG's repository, where PostgreSQL is to come from there."""
    if node.host.local or node.host.postgresql.source is not Source.PGDG:
        return []
    release = node.release
    return [
        Packages(
            packages=("pgdg-redhat-repo",),
            installer=release.installer,
            source=platforms.pgdg_repository(release.major),
            before=f"{release.installer} -q -y module disable postgresql" if release.modular else "",
        )
    ]

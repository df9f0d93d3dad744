"""What every host of its own has before anything else: its name."""

from __future__ import annotations

from provision.resources import Hostname, Resource
from provision.tasks.node import Node
from provision.tasks.stage import task


@task
def base(node: Node) -> list[Resource]:
    """The host's name. This machine keeps the name that it has."""
    return [] if node.host.local else [Hostname(node.name)]

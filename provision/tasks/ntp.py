"""The time of a host."""

from __future__ import annotations

from provision.resources import Packages, Resource, Unit
from provision.tasks.node import Node
from provision.tasks.stage import task


@task
def ntp(node: Node) -> list[Resource]:
    """A time service that runs. This machine's time is its own business."""
    if node.host.local:
        return []
    release = node.release
    return [Packages(packages=(release.ntp,), installer=release.installer), Unit(release.ntp_unit)]

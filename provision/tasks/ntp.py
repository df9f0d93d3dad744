"""The time of a host."""

from __future__ import annotations

from provision.resources import Clock, File, Packages, Resource, Unit
from provision.tasks.node import Node
from provision.tasks.stage import task


@task
def ntp(node: Node) -> list[Resource]:
    """A time service that runs with the declared servers. This machine's time is its own business."""
    if node.host.local:
        return []
    release = node.release
    text = node.site.templates.render(release.ntp_template, node.host, ntp=node.host.system.ntp, release=release)
    return [
        Packages(packages=(release.ntp,), installer=release.installer),
        File(path=release.ntp_config, text=text),
        Unit(unit=release.ntp_unit, config=(release.ntp_config,), systemd=node.systemd),
        Clock(release.ntp_unit),
    ]

"""The stages of provisioning, a module each: they say what a host should have, and do nothing.

Each is a function from a host to resources. For Fabric they are tasks as well, which bring an ad-hoc host of the
inventory to that state: `fab -r <where pgherd is>/provision -c tasks -H HOST STAGE --inventory FILE`.
"""

from __future__ import annotations

from typing import Any

from provision.tasks.stage import TASKS, Task, task

# The order of these imports is the order of the stages.
from provision.tasks import repositories, base, ntp, postgresql, roles, databases, replicator  # isort: skip
from provision.tasks.node import OWNER, Node, Site

REPLICATION = "replication"
"""The last stage. It is no matter of one host: see `provision.tasks.replication`."""

__all__ = [
    "OWNER",
    "REPLICATION",
    "TASKS",
    "Node",
    "Site",
    "Task",
    "base",
    "databases",
    "ntp",
    "postgresql",
    "replicator",
    "repositories",
    "roles",
    "task",
]


def __getattr__(name: str) -> Any:
    """`ns`, the collection that Fabric looks for; made when it looks, since importing Fabric takes half a second."""
    if name == "ns":
        from provision.tasks.fabric import collection  # noqa: PLC0415

        return collection()
    raise AttributeError(name)

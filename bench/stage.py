"""The 25 steps that `workloads.deploy` lets everybody do, by `provision`: a folder and 24 files on every host.

`python -m bench.stage deploy INVENTORY`: the command line as installed, with these resources in place of the stages.
"""

from __future__ import annotations

from provision import plan
from provision.cli import main
from provision.resources import Directory, File, Resource
from provision.tasks import Node

FILES = 24


def folder(host: str) -> str:
    """Where a host's files go: under a folder that each host of the benchmark has for itself."""
    return f"/run/lock/{host}"


def text(host: str, number: int) -> str:
    """What stands in a file."""
    return f"{number} of {host}\n" * 20


def steps(node: Node) -> list[Resource]:
    """A folder and its files."""
    place = folder(node.name)
    files = [
        File(path=f"{place}/file{number}", text=text(node.name, number), mode=0o644) for number in range(1, FILES + 1)
    ]
    return [Directory(path=place), *files]


if __name__ == "__main__":
    setattr(plan, "TASKS", {"base": steps})  # noqa: B010 - it is not plan's own
    main()

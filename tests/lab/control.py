"""The control machine of a lab: `provision` as a user runs it, inside the lab's network.

It works on a copy of inventories/lab.yml, byte for byte. What differs from machines that reach the Internet stands
beside it, in group_vars/all.yml.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.fixtures.cli import Program
from tests.lab import wheels
from tests.lab.cgroup import Group
from tests.lab.hosts import CHECKOUT
from tests.lab.image import MIRROR
from tests.lab.lab import Lab
from tests.lab.network import CONTROL
from tests.lab.shell import write

INVENTORY = CHECKOUT / "inventories" / "lab.yml"


class Control(Program):
    """Runs `provision` and `replicator` inside a lab's network: `control("provision", "facts", control.inventory)`."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        super().__init__(folder, wheels.environment(wheels.get()))
        self.lab = lab
        self.inventory = write_inventory(folder / "inventories" / "lab.yml", lab, folder / "state")

    def leftovers(self) -> dict[int, str]:
        """See `Program.leftovers`: the hosts, too, are descendants of the process that started them, but the lab's."""
        hosts = set(Group(self.lab.name).processes())
        return {pid: title for pid, title in super().leftovers().items() if pid not in hosts}

    def _command(self, name: str, args: tuple[object, ...]) -> list[str]:
        return [*self.lab.network.entrance, *super()._command(name, args)]


def write_inventory(copy: Path, lab: Lab, state: Path, **more: object) -> Path:
    """Copy the inventory for a lab, with the variables that differ, and ssh_config where it looks for that."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(INVENTORY, copy)
    variables: Mapping[str, object] = {
        "state_dir": str(state),
        "postgresql": {"version": 15},
        "pgdg": {"baseurl": f"{MIRROR}pgdg/", "gpgkey": str(lab.build.repository("pgdg").public_key)},
        "ntp": {"servers": [CONTROL]},
        **more,
    }
    write(copy.parent / "group_vars" / "all.yml", yaml.safe_dump(dict(variables), sort_keys=False))
    write(copy.parent.parent / ".lab" / "ssh_config", lab.places.ssh_config.read_text())
    return copy

"""Runs Vagrant in the folder of its Vagrantfile, its output shown as it is. What machines become is others' affair."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from provision.errors import HostFailed, InputError, Interrupted

FILE = "Vagrantfile"
PROVIDERS = {"virtualbox": "VBoxManage", "libvirt": "virsh"}
"""What the Vagrantfile has settings for, and the program by which one sees that it is there."""

OURS = "PGHERD_LAB"
"""Set for Vagrant when we run it, so that a trigger in the Vagrantfile leaves the deploying to us."""


@dataclass(frozen=True)
class Vagrant:
    """Vagrant in a folder."""

    folder: Path

    @classmethod
    def of(cls, folder: Path | None) -> Vagrant:
        """In a folder, or in the nearest one from here upward that has a Vagrantfile. Raises InputError, HostFailed."""
        start = (folder or Path.cwd()).resolve()
        places = [start] if folder else [start, *start.parents]
        found = next((place for place in places if (place / FILE).is_file()), None)
        if found is None:
            where = f"in {start}" if folder else f"in {start} or above it"
            raise InputError(f"there is no {FILE} {where}: name its folder with --folder")
        if not shutil.which("vagrant"):
            raise HostFailed(
                "there is no vagrant on this machine.",
                hint="Install it, and VirtualBox or libvirt (https://developer.hashicorp.com/vagrant/install); or use"
                " inventories/local.yml, which needs no virtual machines.",
            )
        return cls(found)

    @property
    def ssh_config(self) -> Path:
        """Where the machines' logins are written, for the inventory's ssh.config."""
        return self.folder / ".lab" / "ssh_config"

    @property
    def inventory(self) -> Path:
        """The inventory of the machines."""
        return self.folder / "inventories" / "lab.yml"

    def check_provider(self) -> None:
        """Raise HostFailed when nothing is there that could run a machine."""
        wanted = os.environ.get("VAGRANT_DEFAULT_PROVIDER", "")
        known = {name: program for name, program in PROVIDERS.items() if not wanted or name == wanted}
        if known and not any(shutil.which(program) for program in known.values()):
            names = " nor ".join(f"{name} ({program})" for name, program in known.items())
            raise HostFailed(
                f"there is neither {names} on this machine, so Vagrant has nothing to run machines with."
                if len(known) > 1
                else f"there is no {names} on this machine, which VAGRANT_DEFAULT_PROVIDER names.",
                hint="Install one; libvirt needs `vagrant plugin install vagrant-libvirt` too.",
            )

    def run(self, *words: str) -> None:
        """A command, with its output shown. Raises HostFailed, Interrupted."""
        try:
            done = subprocess.run(["vagrant", *words], cwd=self.folder, env={**os.environ, OURS: "1"}, check=False)
        except KeyboardInterrupt:
            raise Interrupted from None
        if done.returncode:
            raise HostFailed(
                f"`vagrant {' '.join(words)}` failed with code {done.returncode}; what it said stands above.",
                hint="Mend that, then run it again: machines that are up stay up.",
            )

    def write_ssh_config(self) -> None:
        """Write down how to log in. Raises HostFailed."""
        done = subprocess.run(["vagrant", "ssh-config"], cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode or "Host " not in done.stdout:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise HostFailed("vagrant does not say how to log in to the machines.", hint=" ".join(said[-1:]))
        self.ssh_config.parent.mkdir(exist_ok=True)
        new = self.ssh_config.with_suffix(".new")
        new.write_text(done.stdout)
        new.replace(self.ssh_config)

    def remove_ssh_config(self) -> None:
        """Forget how to log in."""
        self.ssh_config.unlink(missing_ok=True)

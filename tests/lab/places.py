"""Where the files of a lab are, by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/var/tmp/pgherd-lab")


@dataclass(frozen=True)
class Places:
    """The folder of a lab and what is in it."""

    name: str

    @property
    def folder(self) -> Path:
        """All of it."""
        return ROOT / self.name

    @property
    def owner(self) -> Path:
        """Locked by the process that the lab is for, while that lives."""
        return self.folder / "owner"

    @property
    def kept(self) -> Path:
        """Is there, if the lab stays without an owner."""
        return self.folder / "kept"

    @property
    def key(self) -> Path:
        """The key that every account of the hosts accepts."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys."""
        return self.folder / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """How ssh reaches the hosts, from inside the lab's network."""
        return self.folder / "ssh_config"

    @property
    def hosts(self) -> Path:
        """Everything that is mounted is below it."""
        return self.folder / "hosts"

    def image(self, host: str) -> Path:
        """A host's disk, as a file of this machine."""
        return self.hosts / host / "disk.img"

    def disk(self, host: str) -> Path:
        """A host's disk, mounted: what differs from the image."""
        return self.hosts / host / "disk"

    def root(self, host: str) -> Path:
        """A host's files, while it is under power."""
        return self.hosts / host / "root"

    def console(self, host: str) -> Path:
        """What a host has written on its console."""
        return self.folder / f"{host}.console"

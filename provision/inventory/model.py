"""What an inventory comes out as: hosts with their settings, groups, the replication that joins them.

Frozen values, complete and checked. `load` makes them; see `settings` for the sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from provision.inventory.marks import Mark, SecretSource
from provision.inventory.settings import PgbenchSettings, PostgresqlSettings, ReplicationSettings


class ConnectionKind(StrEnum):
    """How a host is reached."""

    LOCAL = "local"  # it is this machine
    SSH = "ssh"  # Fabric
    OPENSSH = "openssh"  # the ssh program


class HostKeys(StrEnum):
    """What to do about the key of a host."""

    STRICT = "strict"  # it must be in known_hosts
    ACCEPT_NEW = "accept-new"  # an unknown one is kept, a changed one refused
    OFF = "off"  # any will do: throw-away machines only


@dataclass(frozen=True, kw_only=True)
class Become:
    """The account that changes are made under, when it is not the one that logs in."""

    user: str = "root"
    password: SecretSource | None = None


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine (or, when it is local, a node of its own on this machine).

    address: where the other nodes find it, and where its PostgreSQL listens. ssh_host, port: where SSH finds it; port
    None: what ssh_config says. groups: nearest last, without `all`. vars: every variable, resolved.
    """

    name: str
    address: str
    connection: ConnectionKind = ConnectionKind.SSH
    ssh_host: str = ""
    port: int | None = None
    user: str | None = None
    password: SecretSource | None = None
    key_file: Path | None = None
    ssh_config: Path | None = None
    host_keys: HostKeys = HostKeys.STRICT
    become: Become | None = None
    groups: tuple[str, ...] = ()
    vars: Mapping[str, object] = field(default_factory=dict, repr=False, hash=False)
    postgresql: PostgresqlSettings = field(default_factory=PostgresqlSettings, hash=False)
    pgbench: PgbenchSettings | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def local(self) -> bool:
        """Whether it is this machine."""
        return self.connection is ConnectionKind.LOCAL

    @property
    def listen(self) -> tuple[str, ...]:
        """The addresses that its PostgreSQL listens on."""
        if self.postgresql.listen is not None:
            return self.postgresql.listen
        return (self.address,) if self.local else ("localhost", self.address)


@dataclass(frozen=True)
class Notice:
    """Something that is allowed and should be known."""

    mark: Mark
    message: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything that is declared. groups: every group's hosts by name, nested ones included."""

    name: str
    files: tuple[Path, ...]
    state_dir: Path
    hosts: tuple[Host, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replication: ReplicationSettings | None = None
    warnings: tuple[Notice, ...] = ()

    def host(self, name: str) -> Host:
        """The host of a name. Raises KeyError."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def group(self, name: str) -> tuple[Host, ...]:
        """The hosts of a group, in inventory order. Raises KeyError."""
        members = set(self.groups[name])
        return tuple(host for host in self.hosts if host.name in members)

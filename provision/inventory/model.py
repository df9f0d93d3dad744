"""What an inventory comes out as: hosts with their settings, groups, the replication that joins them.

Frozen values, complete and checked. `load` makes them; see `settings` and `replication` for the sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from provision.inventory.marks import Mark, Node, Origin, SecretSource
from provision.inventory.patterns import select
from provision.inventory.replication import ReplicationSettings
from provision.inventory.settings import PgbenchSettings, PostgresqlSettings
from provision.inventory.system import SystemSettings


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
class Tls:
    """Encrypted connections. certificate, key, ca: given ones; without them provision makes its own."""

    certificate: Path | None = None
    key: Path | SecretSource | None = None
    ca: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine (or, when it is local, a node of its own on this machine).

    address: where the other nodes find it, and where its PostgreSQL listens. ssh_host, port: where SSH finds it; port
    None: what ssh_config says; jump, proxy_command: the way there, as ssh's ProxyJump and ProxyCommand. release: the
    major one of Enterprise Linux, None when it is not said. tls: None: its connections are in clear. tuning: its
    settings follow from its size. groups: nearest last, without `all`. vars: every variable, resolved.
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
    jump: str = ""
    proxy_command: str = ""
    become: Become | None = None
    release: int | None = None
    tls: Tls | None = None
    tuning: bool = False
    groups: tuple[str, ...] = ()
    vars: Mapping[str, object] = field(default_factory=dict, repr=False, hash=False)
    postgresql: PostgresqlSettings = field(default_factory=PostgresqlSettings, hash=False)
    pgbench: PgbenchSettings | None = None
    system: SystemSettings = field(default_factory=SystemSettings, hash=False)

    def __str__(self) -> str:
        return self.name

    @property
    def local(self) -> bool:
        """Whether it is this machine."""
        return self.connection is ConnectionKind.LOCAL

    @property
    def sockets(self) -> bool:
        """Whether its PostgreSQL has Unix sockets: on this machine only where `socket_dir` says so."""
        directory = self.postgresql.socket_dir
        return not self.local if directory is None else directory != ""

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
    """Everything that is declared. groups: each group's hosts by name, nested ones included.

    folder: where its first file is; secrets_file: what `!secret` refers to; serial: how many hosts a run takes through
    all stages before others, 0: all.
    origins: by host and variable every place that set it, the one that won last.
    """

    name: str
    folder: Path
    state_dir: Path
    secrets_file: Path = Path("secrets.enc")
    serial: int = 0
    files: tuple[Path, ...] = ()
    hosts: tuple[Host, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replication: ReplicationSettings | None = None
    warnings: tuple[Notice, ...] = ()
    origins: Mapping[str, Mapping[str, tuple[Origin, ...]]] = field(default_factory=dict, repr=False)
    tree: Node | None = field(default=None, repr=False)

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

    def limit(self, pattern: str) -> tuple[Host, ...]:
        """The hosts of a pattern as Ansible's --limit takes it, in inventory order. Raises InputError."""
        chosen = select(pattern, [host.name for host in self.hosts], self.groups)
        return tuple(self.host(name) for name in chosen)

    def origin(self, host: str, variable: str) -> tuple[Origin, ...]:
        """The places that set a variable for a host, the one that won last; empty when none did."""
        return self.origins[host].get(variable, ())

    def where(self, *path: str | int) -> Mark:
        """The place of something in the replication section, such as ("syncs", "alpha", "targets")."""
        return self.tree.place(*path) if self.tree else Mark(str(self.files[0]) if self.files else self.name)

    def node(self, database: str) -> Host:
        """The host of a database, by the database's nickname. Raises KeyError."""
        if self.replication is None:
            raise KeyError(database)
        return self.host(self.replication.databases[database].host)

    @property
    def secrets(self) -> tuple[SecretSource, ...]:
        """Every source of a secret that the hosts and the replication name, each once."""
        found: dict[SecretSource, None] = {}
        values = [value for host in self.hosts for value in host.vars.values()]
        _collect([*values, self.tree.plain() if self.tree else None], found)
        return tuple(found)


def _collect(value: object, found: dict[SecretSource, None]) -> None:
    if isinstance(value, SecretSource):
        found.setdefault(value)
    elif isinstance(value, Mapping):
        _collect(list(value.values()), found)
    elif isinstance(value, list | tuple):
        for part in value:
            _collect(part, found)

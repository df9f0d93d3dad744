"""Makes a `Host` of the variables that hold for it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from provision.inventory import reach
from provision.inventory.faults import Faults
from provision.inventory.keys import with_keys
from provision.inventory.marks import Mark, Node
from provision.inventory.model import Become, ConnectionKind, Host
from provision.inventory.settings import PgbenchSettings, PostgresqlSettings
from provision.inventory.system import SystemSettings, system_node
from provision.inventory.tls import tls_of
from provision.inventory.validation import validate
from provision.inventory.values import Section

S = TypeVar("S", bound=Section)
THIS_MACHINE = "127.0.0.1"


def can_listen(address: str) -> bool:
    """Whether this machine has a loopback address: 127.0.0.241 is one on Linux, but not everywhere."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class HostBuilder:
    """Builds hosts. listens: whether this machine can listen at a loopback address."""

    faults: Faults
    listens: Callable[[str], bool]

    def build(self, name: str, mark: Mark, groups: tuple[str, ...], values: Mapping[str, Node]) -> Host:
        """A host; where its variables have faults, with defaults."""
        own = self._section(reach.HostSettings, reach.section("host", values, mark))
        ssh_node = reach.section("ssh", values, mark)
        ssh = self._section(reach.SshSettings, ssh_node)
        server = self._section(PostgresqlSettings, values.get("postgresql"))
        config = reach.path_of(ssh.config, ssh_node.place("config"))
        address, port = self._address(name, mark, own, ssh, values)
        return Host(
            name=name,
            address=address,
            connection=own.connection,
            ssh_host=ssh.host or (name if reach.is_named_in(config, name) else own.address or name),
            port=ssh.port,
            user=ssh.user,
            password=ssh.password,
            key_file=reach.path_of(ssh.key_file, ssh_node.place("key_file")),
            ssh_config=config if config and config.is_file() else None,
            host_keys=ssh.host_keys,
            jump=ssh.jump or "",
            proxy_command=ssh.proxy_command or "",
            become=self._become(reach.section("become", values, mark)),
            release=own.release,
            tuning=own.connection is not ConnectionKind.LOCAL if own.tuning is None else own.tuning,
            tls=tls_of(values.get("tls"), self.faults, local=own.connection is ConnectionKind.LOCAL),
            groups=groups,
            vars={variable: node.plain() for variable, node in values.items()},
            postgresql=server.model_copy(update={"port": port}) if port else server,
            system=self._system(system_node(values, mark)),
            pgbench=self._section(PgbenchSettings, values["pgbench"]) if "pgbench" in values else None,
        )

    def _section(self, model: type[S], node: Node | None) -> S:
        if node is None or node.value is None:
            return model()
        return validate(model, node, self.faults) or model()

    def _system(self, node: Node) -> SystemSettings:
        return with_keys(self._section(SystemSettings, node), node, self.faults)

    def _become(self, node: Node) -> Become | None:
        settings = self._section(reach.BecomeSettings, node)
        return Become(user=settings.user, password=settings.password) if settings.enabled else None

    def _address(
        self, name: str, mark: Mark, own: reach.HostSettings, ssh: reach.SshSettings, values: Mapping[str, Node]
    ) -> tuple[str, int | None]:
        """The node's address and, where it had to fall back to 127.0.0.1, the port of its server."""
        local = own.connection is ConnectionKind.LOCAL
        # Ports that lead from here to a virtual machine say nothing of where the other nodes find it.
        forwarded = ssh.host and _is_loopback(ssh.host)
        address = own.address or (THIS_MACHINE if local else name if forwarded else ssh.host or name)
        if not local or not _is_loopback(address) or address == THIS_MACHINE or self.listens(address):
            return address, None
        if own.fallback_port is None:
            place = values["address"].mark if "address" in values else mark
            message = f"found {address}, which this machine does not have, expected fallback_port beside it"
            self.faults.add(place, f"{message} (the port to use at {THIS_MACHINE} instead)")
        return THIS_MACHINE, own.fallback_port


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False

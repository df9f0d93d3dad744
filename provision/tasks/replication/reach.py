"""How the control machine gets at the catalog and the nodes: straight, or through each host's SSH connection.

Where the replicator runs on a host, nothing is asked of the network between here and the nodes but SSH: to a server a
connection through the tunnel comes from its own host.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from provision.errors import ProvisionError
from provision.inventory import Host, runner
from provision.tasks import tls
from provision.tasks.node import Site
from provision.tasks.replication.settings import Settings
from provision.tasks.service import catalog_parameters
from provision.transport import Transport, Tunnel, connect
from replicator.config import Config, load, size_of
from replicator.errors import Unreachable
from replicator.model import Install
from replicator.postgres import Connector


@dataclass(frozen=True)
class _Way:
    """An open way to a host's server."""

    transport: Transport
    tunnel: Tunnel

    def close(self) -> None:
        """Close it, and every connection that goes through it."""
        self.tunnel.close()
        self.transport.close()


class Reach:
    """Opens connections for a site. Keeps its tunnels until it is closed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._ways: dict[str, _Way] = {}
        self._lock = threading.Lock()

    def connector(self) -> Connector:
        """Opens connections. Raises ConfigError when the replicator's settings on this machine are missing or wrong."""
        settings = Settings(self._site)
        if runner(self._site.inventory) is None:
            return Connector(load(settings.file))
        declared = settings.declared
        config = Config(
            install=Install(declared.install),
            catalog=catalog_parameters(self._site, declared),
            run_dir=settings.folder / "run",
            warn_behind=declared.warn_behind or Config.warn_behind,
            warn_kept=size_of(declared.warn_kept) if declared.warn_kept else Config.warn_kept,
        )
        return Connector(config, self._route)

    def _route(self, wanted: Mapping[str, str]) -> Mapping[str, str]:
        """See `replicator.postgres.Route`. The name stays what it is: a certificate is checked against it."""
        host = self._host(wanted.get("host", ""), wanted.get("port", ""))
        if host is None:
            return {}
        found = {} if host.local else {"hostaddr": "127.0.0.1", "port": str(self._way(host).tunnel.port)}
        if "sslrootcert" in wanted and runner(self._site.inventory):
            found["sslrootcert"] = str(tls.rootcert(self._site.inventory))
        passwords = {entry.user: entry.password for entry in self._site.pass_entries(host)}
        if password := passwords.get(wanted.get("user", "")):
            found["password"] = password.reveal()
        return found

    def _host(self, address: str, port: str) -> Host | None:
        hosts = self._site.inventory.hosts
        return next((host for host in hosts if (host.address, str(host.postgresql.port)) == (address, port)), None)

    def _way(self, host: Host) -> _Way:
        with self._lock:
            if host.name not in self._ways:
                self._ways[host.name] = self._open(host)
            return self._ways[host.name]

    def _open(self, host: Host) -> _Way:
        transport = connect(host, self._site.keeper)
        way = _Way(transport, Tunnel(transport, host.address, host.postgresql.port))
        try:
            transport.prepare()
            way.tunnel.check()
        except ProvisionError as error:
            way.close()
            raise Unreachable(f"{host.name}: {error.args[0]}", hint=error.hint) from error
        return way

    def close(self) -> None:
        """Close the tunnels."""
        with self._lock:
            for way in self._ways.values():
                way.close()
            self._ways.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

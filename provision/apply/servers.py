"""Which servers run: the short look that `status` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provision.errors import ProvisionError
from provision.facts import ServerState, gather
from provision.inventory import Host
from provision.resources.datadir import server_probe
from provision.tasks import Site
from provision.transport import connect


@dataclass(frozen=True)
class ServerLine:
    """A server in short. state: a ServerState, or why it is not known."""

    host: str
    address: str
    version: str
    state: str

    @property
    def up(self) -> bool:
        """Whether it takes connections."""
        return self.state == ServerState.RUNNING


def servers(site: Site, hosts: Sequence[Host]) -> list[ServerLine]:
    """The servers of hosts. Nothing is raised because one does not answer."""
    return [_server(site, host) for host in hosts]


def _server(site: Site, host: Host) -> ServerLine:
    where = f"{host.address}:{host.postgresql.port}"
    transport = None
    try:
        probe = server_probe(site.node(host).server)
        transport = connect(host, site.keeper)
        found = gather(transport, [probe])[probe]
    except ProvisionError as error:
        return ServerLine(host.name, where, "", str(error))
    finally:
        if transport:
            transport.close()
    state = "not deployed" if found.state is ServerState.BARE else str(found.state)
    return ServerLine(host.name, where, found.version, state)

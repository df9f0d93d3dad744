"""Which servers run: the short look that `status` takes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from provision.errors import ProvisionError
from provision.facts import ServerState, gather
from provision.inventory import Host
from provision.resources.datadir import server_probe
from provision.tasks import Site, tls
from provision.transport import connect

AT_ONCE = 20
"""How many hosts are asked at once."""


@dataclass(frozen=True)
class ServerLine:
    """A server in short. state: a ServerState, or why it is not known. certificate: until when its own is valid."""

    host: str
    address: str
    version: str
    state: str
    certificate: str = ""

    @property
    def up(self) -> bool:
        """Whether it takes connections."""
        return self.state == ServerState.RUNNING


def servers(site: Site, hosts: Sequence[Host]) -> list[ServerLine]:
    """The servers of hosts. Nothing is raised because one does not answer."""
    with ThreadPoolExecutor(max(1, min(AT_ONCE, len(hosts)))) as pool:
        return list(pool.map(lambda host: _server(site, host), hosts))


def _server(site: Site, host: Host) -> ServerLine:
    where = f"{host.address}:{host.postgresql.port}"
    transport = None
    try:
        node = site.node(host)
        probe, certificate = server_probe(node.server), tls.certificate_probe(node)
        transport = connect(host, site.keeper)
        facts = gather(transport, [probe, certificate] if host.tls else [probe])
        found, end = facts[probe], tls.end_of_certificate(facts[certificate]) if host.tls else ""
    except ProvisionError as error:
        return ServerLine(host.name, where, "", str(error))
    finally:
        if transport:
            transport.close()
    state = "not deployed" if found.state is ServerState.BARE else str(found.state)
    return ServerLine(host.name, where, found.version, state, end)

"""TLS of a host's server: the files that it is given, and how clients that check them connect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import Fault, InputError
from provision.facts import PathFact, Probe, text_of
from provision.inventory import Host, Inventory, SecretSource, runner
from provision.resources import File, Resource
from provision.secrets import Secret
from provision.tasks.node import Node, Site

if TYPE_CHECKING:  # the library loads slowly, and hosts without TLS have no use for it
    from provision.certificates import Pair

CERTIFICATE = "server.crt"
KEY = "server.key"
ROOT = "root.crt"
"""PostgreSQL's own names for them, in the data directory."""

ROOT_OF_RUNNER = f"/etc/pgherd/{ROOT}"
"""Where a host that runs the replicator has `roots`."""


def files(node: Node) -> list[Resource]:
    """Certificate, key and authority of a host's server. The key is compared by its digest and never shown."""
    if node.host.tls is None:
        return []
    pair, root = identity(node)
    data, owner = node.server.data, node.account
    return [
        File(path=f"{data}/{KEY}", text=pair.key.reveal(), mode=0o600, owner=owner, secret=True, follows="reload"),
        File(path=f"{data}/{CERTIFICATE}", text=pair.certificate, mode=0o644, owner=owner, follows="reload"),
        File(path=f"{data}/{ROOT}", text=root, mode=0o644, owner=owner),
    ]


def certificate_probe(node: Node) -> Probe[PathFact]:
    """Asks for the certificate that a host's server has."""
    return text_of(f"{node.server.data}/{CERTIFICATE}")


def end_of_certificate(found: PathFact) -> str:
    """Until when it is valid, as people write it; "" when there is none."""
    from provision.certificates import end_of  # noqa: PLC0415

    end = end_of(found.text or "")
    return f"{end:%Y-%m-%d}" if end else ""


def identity(node: Node) -> tuple[Pair, str]:
    """The certificate and key of a host, and the authority that they are checked by. Raises InputError."""
    from provision.certificates import given  # noqa: PLC0415

    tls = node.host.tls
    assert tls is not None
    if tls.certificate and tls.key and tls.ca:
        return given(tls.certificate, _key(node.site, tls.key), tls.ca, node.host.address)
    authority = node.site.authority
    return authority.pair(node.name, names(node.host)), authority.root


def _key(site: Site, key: Path | SecretSource) -> Path | Secret:
    return key if isinstance(key, Path) else site.keeper.fetch(key)


def names(host: Host) -> list[str]:
    """What a host's certificate is for, its own name first. Raises InputError for a name that none can have."""
    found = list(dict.fromkeys([host.name, host.address, host.ssh_host or host.address]))
    for name in found:
        if not name.isascii():
            message = f"{name!r} cannot stand in a certificate, expected ASCII (xn--...)"
            raise InputError([Fault("", 0, host.name, message)])
    return found


def roots(site: Site) -> str:
    """The authorities by which all servers of a site are checked; "" when none has TLS. Raises InputError."""
    found = [identity(site.node(host))[1] for host in site.inventory.hosts if host.tls]
    return "".join(text if text.endswith("\n") else text + "\n" for text in dict.fromkeys(found))


def rootcert(inventory: Inventory) -> Path:
    """Where this machine has the file that holds `roots`; for people who work with the nodes from here as well."""
    return inventory.state_dir / ROOT


def options(inventory: Inventory, host: Host) -> dict[str, str]:
    """The parameters of libpq by which the replicator, where it runs, makes sure that it talks to this host."""
    there = ROOT_OF_RUNNER if runner(inventory) else str(rootcert(inventory))
    return {"sslmode": "verify-full", "sslrootcert": there} if host.tls else {}


def warnings(site: Site) -> Iterator[str]:
    """What should be known of the certificates. Raises InputError for given ones that cannot be read."""
    encrypted = [host for host in site.inventory.hosts if host.tls]
    if not encrypted:
        return
    from provision.certificates import outlived  # noqa: PLC0415

    for host in encrypted:
        if host.tls and host.tls.certificate:
            yield from outlived(host.tls.certificate)
    if any(host.tls and not host.tls.certificate for host in encrypted) and (warning := site.authority.warning()):
        yield warning

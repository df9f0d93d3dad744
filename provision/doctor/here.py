"""This machine: what a deploy needs of it."""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from provision import platforms
from provision.doctor.findings import Finding, Verdict
from provision.errors import ProvisionError
from provision.inventory import ConnectionKind, Host, Source
from provision.tasks import Site

MACHINE = "this machine"
NETWORKS = Path("/etc/vbox/networks.conf")
LAB = "10.11.12.0/24"
DEFAULT_NETWORK = "192.168.56.0/21"
"""What VirtualBox allows where nothing is said."""


def here(site: Site, hosts: Sequence[Host], networks: Path = NETWORKS) -> Iterator[Finding]:
    """What can be said of this machine."""
    yield from _programs(hosts)
    yield from _configs(hosts)
    yield from _wheels(hosts)
    yield from _state_dir(site)
    yield from _virtualbox(site, hosts, networks)


def _programs(hosts: Sequence[Host]) -> Iterator[Finding]:
    if any(not host.local for host in hosts):
        needed = any(host.connection is ConnectionKind.OPENSSH for host in hosts)
        if shutil.which("ssh"):
            yield Finding(MACHINE, "ssh", Verdict.OK, "the ssh program is there")
        else:
            verdict = Verdict.BAD if needed else Verdict.NOTE
            yield Finding(MACHINE, "ssh", verdict, "there is no ssh program", "Install OpenSSH's client.")


def _configs(hosts: Sequence[Host]) -> Iterator[Finding]:
    for config in dict.fromkeys(host.ssh_config for host in hosts if host.ssh_config):
        yield Finding(MACHINE, "ssh_config", Verdict.OK, f"{config} is there")
    for key in dict.fromkeys(host.key_file for host in hosts if host.key_file):
        if not key.is_file():
            said = f"there is no {key}, which ssh.key_file names"
            yield Finding(MACHINE, "ssh key", Verdict.BAD, said, "Correct the inventory, or put the key there.")


def _wheels(hosts: Sequence[Host]) -> Iterator[Finding]:
    versions = {host.postgresql.version for host in hosts if host.postgresql.source is Source.EMBEDDED}
    for version in sorted(version for version in versions if version is not None):
        try:
            wheel = platforms.wheel(version)
        except ProvisionError as error:
            yield Finding(MACHINE, "programs", Verdict.BAD, str(error.args[0]), error.hint)
        else:
            yield Finding(MACHINE, "programs", Verdict.OK, wheel.label)


def _state_dir(site: Site) -> Iterator[Finding]:
    folder = site.inventory.state_dir
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if _writable(there):
        yield Finding(MACHINE, "state_dir", Verdict.OK, f"{folder}")
    else:
        said = f"{there} cannot be written to, and {folder} is to be in it"
        yield Finding(MACHINE, "state_dir", Verdict.BAD, said, "Correct its permissions, or name another state_dir.")


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK | os.X_OK)


def _virtualbox(site: Site, hosts: Sequence[Host], networks: Path) -> Iterator[Finding]:
    """VirtualBox gives machines only addresses that the machine's administrator has allowed."""
    lab = [host for host in hosts if _inside(host.address, LAB)]
    if not lab or not shutil.which("VBoxManage") or not _vagrantfile(site):
        return
    if any(_covers(allowed) for allowed in _allowed(networks)):
        yield Finding(MACHINE, "VirtualBox", Verdict.OK, f"{LAB} is allowed")
        return
    hint = f"Add the line `* {LAB}` to {networks} (as root)."
    yield Finding(MACHINE, "VirtualBox", Verdict.BAD, f"it may not use {LAB}", hint)


def _vagrantfile(site: Site) -> bool:
    folder = site.inventory.folder.resolve()
    return any((path / "Vagrantfile").is_file() for path in (folder, *folder.parents))


def _allowed(networks: Path) -> list[str]:
    try:
        lines = networks.read_text().splitlines()
    except OSError:
        return [DEFAULT_NETWORK]
    words = [word for line in lines if line.strip().startswith("*") for word in line.strip()[1:].split()]
    return words or [DEFAULT_NETWORK]


def _covers(allowed: str) -> bool:
    try:
        network = ipaddress.ip_network(allowed, strict=False)
    except ValueError:
        return False
    return isinstance(network, ipaddress.IPv4Network) and ipaddress.IPv4Network(LAB).subnet_of(network)


def _inside(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False

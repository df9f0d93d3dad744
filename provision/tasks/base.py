"""What every host of its own has: its name and its neighbours' names, newest packages, monitoring, an open port."""

from __future__ import annotations

import ipaddress

from provision.inventory import Host, hba_rules
from provision.platforms.releases import SNMP_CONFIG, SNMP_PACKAGE, SNMP_UNIT
from provision.resources import (
    File,
    Firewall,
    Hostname,
    HostsFile,
    NetworkCards,
    Opening,
    Packages,
    PortLabel,
    Resource,
    Unit,
    Updates,
    WholePackages,
)
from provision.tasks.node import Node
from provision.tasks.stage import task

USUAL_PORT = 5432
"""The port that SELinux's policy expects PostgreSQL at."""

SNMP_PORT = 161
COMMUNITY = "@community@"
"""Stands for the community while the file is rendered: no template ever sees a secret."""


@task
def base(node: Node) -> list[Resource]:
    """The host's name, /etc/hosts, updates, SNMP agent, firewall. This machine's are its own business."""
    if node.host.local:
        return []
    return [
        Hostname(hostname=node.name, systemd=node.systemd),
        _hosts(node),
        *([] if node.systemd else [NetworkCards()]),
        WholePackages(node.release.installer),
        *_updates(node),
        *_snmp(node),
        *_labels(node),
        Firewall(openings(node)),
    ]


def _hosts(node: Node) -> Resource:
    """The nodes by name, as far as the inventory has addresses for them."""
    nodes = [host for host in node.site.inventory.hosts if not host.local and _is_address(host.address)]
    block = node.site.templates.render("hosts.j2", node.host, nodes=nodes)
    return HostsFile(block=block, names=frozenset(host.name for host in nodes))


def _updates(node: Node) -> list[Resource]:
    wanted, release = node.host.system.updates, node.release
    if wanted == "none":
        return []
    plugin = release.security_plugin if wanted == "security" else ""
    return [Updates(kind=wanted, installer=release.installer, plugin=plugin)]


def _snmp(node: Node) -> list[Resource]:
    settings = node.host.system.snmp
    if settings is None:
        return []
    text = node.site.templates.render("snmpd.conf.j2", node.host, snmp=settings, community=COMMUNITY)
    if settings.community:
        text = text.replace(COMMUNITY, node.site.keeper.fetch(settings.community).reveal())
    return [
        Packages(packages=(SNMP_PACKAGE,), installer=node.release.installer),
        File(path=SNMP_CONFIG, text=text, mode=0o600, secret=settings.community is not None),
        Unit(unit=SNMP_UNIT, config=(SNMP_CONFIG,), systemd=node.systemd),
    ]


def _labels(node: Node) -> list[Resource]:
    port, release = node.host.postgresql.port, node.release
    if node.traits.selinux == "disabled" or port == USUAL_PORT:
        return []
    return [PortLabel(port=port, installer=release.installer, package=release.semanage)]


def openings(node: Node) -> tuple[Opening, ...]:
    """What must get through the host's firewall: PostgreSQL from where somebody may log in, SNMP from who may ask."""
    rules = [rule for rule in hba_rules(node.site.inventory, node.host) if rule.kind != "local"]
    sources = tuple(dict.fromkeys(rule.address for rule in rules if _is_remote(rule.address, node.host)))
    found = [Opening(port=node.host.postgresql.port, sources=sources)] if sources else []
    snmp = node.host.system.snmp
    if snmp and snmp.allow_from:
        found.append(Opening(port=SNMP_PORT, protocol="udp", sources=snmp.allow_from))
    return tuple(found)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_remote(address: str, host: Host) -> bool:
    """Whether it is a network, and more than this host itself. A firewall knows no names."""
    try:
        network = ipaddress.ip_network(address)
    except ValueError:
        return False
    own = _is_address(host.address) and network == ipaddress.ip_network(host.address)
    return not network.is_loopback and not own

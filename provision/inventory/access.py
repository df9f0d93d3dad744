"""Who may log in where: the rules of a server's pg_hba.conf, worked out from what is declared and nothing more.

The superuser comes in on the host itself only; the replication role (and pgbench's) from the nodes and from where the
replicator runs; applications as `postgresql.access` says. Whatever no rule lets in, PostgreSQL refuses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from provision.inventory.model import Host, Inventory
from provision.inventory.replication import ReplicationSettings
from provision.inventory.runner import runner

PGBENCH_ROLE = "pgbench"
"""The role that owns pgbench's tables."""

LOOPBACK = "127.0.0.0/8"
"""Connections between loopback addresses come from 127.0.0.1 or from the address itself, as the system likes."""

INSIDE = (LOOPBACK, "::1/128", "samehost")
"""What never leaves the host."""


@dataclass(frozen=True, kw_only=True)
class HbaRule:
    """A line of pg_hba.conf.

    kind: local, host, or hostssl (which lets nobody in without TLS).
    address: empty for local; literal: the names mean just themselves, whatever they look like;
    why: for the reader of the file.
    """

    kind: str
    databases: tuple[str, ...]
    users: tuple[str, ...]
    address: str = ""
    method: str
    why: str
    literal: bool = False


def hba_rules(inventory: Inventory, host: Host) -> tuple[HbaRule, ...]:
    """The rules for a host's server, in order, none twice."""
    rules = [*_replication(inventory, host), *_pgbench(inventory, host), *_applications(inventory, host)]
    return tuple(dict.fromkeys([_superuser(host), *rules]))


def _superuser(host: Host) -> HbaRule:
    server = host.postgresql
    users = (server.superuser,)
    if host.sockets:
        method = "peer" if server.superuser == server.os_user else server.auth
        return HbaRule(kind="local", databases=("all",), users=users, method=method, why="the superuser, on this host")
    return HbaRule(
        kind="host",
        databases=("all",),
        users=users,
        address=LOOPBACK,
        method=server.auth,
        why="the superuser, from this machine",
    )


def _replication(inventory: Inventory, host: Host) -> Iterator[HbaRule]:
    declared = inventory.replication
    if declared is None:
        return
    here = {
        (db.dbname or name, db.user or declared.role) for name, db in declared.databases.items() if db.host == host.name
    }
    if declared.catalog.host == host.name:
        here.add((declared.catalog.dbname, declared.role))
    for user in sorted({user for _, user in here}):
        databases = tuple(sorted(database for database, owner in here if owner == user))
        for address in _members(inventory, declared):
            yield HbaRule(
                kind=_kind(host, address),
                databases=databases,
                users=(user,),
                address=address,
                method=host.postgresql.auth,
                why="the replicator",
                literal=True,
            )


def _pgbench(inventory: Inventory, host: Host) -> Iterator[HbaRule]:
    declared = inventory.replication
    if declared is None or host.pgbench is None:
        return
    filled = host.pgbench.databases
    databases = {
        db.dbname or name
        for name, db in declared.databases.items()
        if db.host == host.name and (filled is None or name in filled)
    }
    for address in _members(inventory, declared) if databases else ():
        yield HbaRule(
            kind=_kind(host, address),
            databases=tuple(sorted(databases)),
            users=(PGBENCH_ROLE,),
            address=address,
            method=host.postgresql.auth,
            why="pgbench, from where the replicator may come too",
            literal=True,
        )


def _members(inventory: Inventory, declared: ReplicationSettings) -> tuple[str, ...]:
    """The addresses of all that takes part in the replication."""
    nodes = [db.host for db in declared.databases.values()]
    runs_on = runner(inventory)
    origins = [*nodes, declared.catalog.host, *([runs_on.name] if runs_on else []), *declared.allow_from]
    return tuple(dict.fromkeys(address for origin in origins for address in _addresses(inventory, origin)))


def _applications(inventory: Inventory, host: Host) -> Iterator[HbaRule]:
    for rule in host.postgresql.access:
        for address in dict.fromkeys(found for origin in rule.origins for found in _addresses(inventory, origin)):
            yield HbaRule(
                kind=_kind(host, address),
                databases=rule.database,
                users=rule.user,
                address=address,
                method=rule.auth or host.postgresql.auth,
                why="postgresql.access",
            )


def _kind(host: Host, address: str) -> str:
    """With TLS nothing crosses a network without it. Between hosts of this machine loopback is the network."""
    inside = address in INSIDE and not host.local
    return "hostssl" if host.tls and not inside else "host"


def _addresses(inventory: Inventory, origin: str) -> list[str]:
    """The addresses of a host, of a group's hosts, or of an address or network itself, as pg_hba.conf takes them."""
    if origin in inventory.groups:
        return [_network(host.address) for host in inventory.group(origin)]
    return [_network(host.address) for host in inventory.hosts if host.name == origin] or [_network(origin)]


def _network(address: str) -> str:
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return address
    return LOOPBACK if network.version == 4 and network.is_loopback else str(network)

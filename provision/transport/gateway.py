"""The way to a host by Fabric: through jump hosts in ssh's order, or through a command.

Fabric reads ProxyJump too, but goes through several hosts in the opposite order, and trusts each of them unseen.
"""

from __future__ import annotations

from typing import Any

from fabric import Config, Connection
from fabric.connection import derive_shorthand

CONNECT_SECONDS = 10
NONE = "none"


def gateway(config: Config, host: str, jump: str = "", proxy: str = "") -> Any:
    """What `Connection` takes as its gateway: a connection, a command, or False. jump, proxy: instead of ssh_config's."""
    return _gateway(config, host, jump, proxy, frozenset())


def hops(connection: Any) -> list[Any]:
    """The connections that lead to one, outermost first, itself last."""
    way = connection.gateway
    return [*(hops(way) if hasattr(way, "open") else []), connection]


def _gateway(config: Config, host: str, jump: str, proxy: str, seen: frozenset[str]) -> Any:
    found = config.base_ssh_config.lookup(host)
    if not (jump or proxy):
        jump, proxy = str(found.get("proxyjump", "")), str(found.get("proxycommand", ""))
    if jump and jump != NONE:
        return _through(config, jump, seen | {host, str(found.get("hostname", host))})
    return proxy if proxy and proxy != NONE else False


def _through(config: Config, jump: str, seen: frozenset[str]) -> Any:
    way: Any = False
    for number, hop in enumerate(jump.replace(" ", "").split(",")):
        address = hop.removeprefix("ssh://")
        name = derive_shorthand(address)["host"]
        if name in seen:  # `Host *` with a ProxyJump: the jump host itself is reached directly
            continue
        if number == 0:
            way = _gateway(config, name, "", "", seen | {name})
        way = Connection(address, config=config.clone(), gateway=way, connect_timeout=CONNECT_SECONDS)
    return way

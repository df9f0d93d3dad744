"""Runs shell scripts on hosts: here (`Local`), by Fabric (`SSH`), by the ssh program (`OpenSSH`).

`connect` gives the transport of a host. What the scripts say is the business of facts and resources.
"""

from __future__ import annotations

from provision.inventory import ConnectionKind, Host
from provision.secrets import Keeper
from provision.transport.base import Result, Transport
from provision.transport.framing import as_account, quote
from provision.transport.local import Local
from provision.transport.tunnel import Tunnel

__all__ = ["Local", "Result", "Transport", "Tunnel", "as_account", "connect", "quote"]


def connect(host: Host, keeper: Keeper, lock: int | None = None) -> Transport:
    """The transport of a host; it connects when it is first used.

    lock: the host's lock here (see `Local`); on a host of its own, the claim that the run makes there (see `claim`).
    """
    if host.local:
        return Local(lock)
    transport = _remote(host, keeper)
    if lock is None:
        return transport
    from provision.transport.claim import Claimed  # noqa: PLC0415

    return Claimed(transport)


def _remote(host: Host, keeper: Keeper) -> Transport:
    # Imported when needed: Fabric takes half a second, and a local lab has no use for it.
    from provision.transport.login import login_to  # noqa: PLC0415

    if host.connection is ConnectionKind.OPENSSH:
        from provision.transport.openssh import OpenSSH  # noqa: PLC0415

        return OpenSSH(login_to(host, keeper))
    from provision.transport.ssh import SSH  # noqa: PLC0415

    return SSH(login_to(host, keeper))

"""Runs shell scripts on hosts: here (`Local`), by Fabric (`SSH`), by the ssh program (`OpenSSH`).

`connect` gives the transport of a host. What the scripts say is the business of facts and resources.
"""

from provision.transport.base import Result, Transport
from provision.transport.framing import as_account, quote
from provision.transport.local import Local

__all__ = ["Local", "Result", "Transport", "as_account", "quote"]

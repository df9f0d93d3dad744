"""What can be known to go wrong on this machine before anything is done."""

from __future__ import annotations

import errno
import socket

from provision.errors import HostFailed


def check_free(address: str, port: int) -> None:
    """Raise HostFailed if nothing more can listen there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise _sentence(address, port, error) from error


def _sentence(address: str, port: int, error: OSError) -> HostFailed:
    if error.errno == errno.EADDRINUSE:
        return HostFailed(
            f"port {port} of {address} is in use by another program.",
            hint="Stop that one, or give the host another address or postgresql.port.",
        )
    if error.errno == errno.EACCES:
        return HostFailed(f"port {port} of {address} is not for ordinary users.", hint="Choose one from 1024 up.")
    return HostFailed(f"nothing can listen at {address}:{port}: {error.strerror}.", hint="Correct the address.")

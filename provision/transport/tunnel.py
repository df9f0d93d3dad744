"""A port of a host at a port of ours: programs that speak TCP (libpq) reach by SSH what the host itself reaches.

Whoever may open connections on this machine may use it while it is there, and has to log in at its other end like
everybody; it listens at 127.0.0.1 only.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

from provision.errors import ProvisionError, Unreachable
from provision.transport.base import Transport

PORTION = 65536
ANSWER_SECONDS = 10.0
TLS_REQUEST = struct.pack("!ii", 8, 80877103)


class Tunnel:
    """Joins every connection to `port` of 127.0.0.1 to a place that a host reaches, until it is closed."""

    def __init__(self, transport: Transport, address: str, port: int) -> None:
        self._transport = transport
        self._place = (address, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, name=f"tunnel to {address}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:  # it has been closed
                return
            try:
                self._transport.join(peer, *self._place)
            except ProvisionError:
                peer.close()

    def check(self) -> None:
        """Make sure that a PostgreSQL server is at the other end. Raises Unreachable, with the reason as far as known.

        It is asked whether it talks TLS, which any server answers and none logs.
        """
        ours, theirs = socket.socketpair()
        with ours:
            self._transport.join(theirs, *self._place)
            ours.settimeout(ANSWER_SECONDS)
            with suppress(OSError):
                ours.sendall(TLS_REQUEST)
                if ours.recv(1) in (b"S", b"N"):
                    return
        address, port = self._place
        raise Unreachable(
            f"{address}:{port} is not reached through SSH: no PostgreSQL answers there.",
            hint="Is the server up, and does the host's sshd allow it (AllowTcpForwarding)?",
        )

    def close(self) -> None:
        """Listen no more. The transport is closed by whoever opened it, and ends what is joined."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def relay(peer: socket.socket, other: Any) -> None:
    """Pass on what comes from either side (sockets, or channels that act alike) until one of them has no more."""
    while True:
        ready, _, _ = select.select([peer, other], [], [])
        for one, another in ((peer, other), (other, peer)):
            if one in ready:
                data = one.recv(PORTION)
                if not data:
                    return
                another.sendall(data)

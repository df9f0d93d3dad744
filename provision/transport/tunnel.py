"""A port of a host at a port of ours: programs that speak TCP (libpq) reach by SSH what the host itself reaches.

Whoever may open connections on this machine may use it while it is there, and has to log in at its other end like
everybody; it listens at 127.0.0.1 only.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from provision.errors import ProvisionError
from provision.transport.base import Transport

PORTION = 65536


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
        """Make sure that somebody listens at the other end. Raises Unreachable, with the reason.

        Nothing is said to whoever listens: a server that hears half a greeting logs it.
        """
        ours, theirs = socket.socketpair()
        with ours:
            self._transport.join(theirs, *self._place, sure=True)

    def close(self) -> None:
        """Listen no more. The transport is closed by whoever opened it, and ends what is joined."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def relay(peer: socket.socket, other: Any, end_other: Callable[[], None]) -> None:
    """Pass on what comes from either side (sockets, or channels that act alike) until one of them has no more.

    A thread for each direction, which waits in `recv`: paramiko's channels can be waited for by `select` as well, but
    one that is closed while data comes in then takes the whole connection with it. end_other: wakes a `recv` there.
    """

    def end() -> None:
        with suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)
        with suppress(OSError, EOFError):
            end_other()

    def pump(source: Any, sink: Any) -> None:
        with suppress(OSError, EOFError):
            while data := source.recv(PORTION):
                sink.sendall(data)
        end()

    back = threading.Thread(target=pump, args=(other, peer), daemon=True)
    back.start()
    pump(peer, other)
    back.join()

"""This machine: the script goes to a shell of our own."""

from __future__ import annotations

import os
import socket
import threading

from provision.errors import HostFailed, Unreachable
from provision.transport import become
from provision.transport.base import OnLine, OnSent, Result
from provision.transport.process import Process, talk
from provision.transport.tunnel import relay


class Local:
    """Runs scripts on this machine, under our own account or, as root, under another.

    lock: an open descriptor of the host's lock. Every script inherits it, so that a script that outlives us (we were
    killed) keeps the next run waiting until it has ended.
    """

    def __init__(self, lock: int | None = None) -> None:
        self._lock = lock
        self._process = Process()

    def run(
        self,
        script: str,
        *,
        as_user: str = "",
        timeout: float | None = None,
        on_line: OnLine | None = None,
        on_sent: OnSent | None = None,
    ) -> Result:
        """See `Transport.run`."""
        result, output = talk(
            self._process,
            ["/bin/sh", "-c", become.spooled("/bin/sh")] if len(script) > become.LARGE else ["/bin/sh", "-s"],
            script,
            as_user=as_user,
            env=os.environ,
            timeout=timeout,
            on_line=on_line,
            on_sent=on_sent,
            lock=self._lock,
        )
        if result is None:
            said = [line for line in output.err.decode(errors="replace").splitlines() if not line.startswith("@")]
            raise HostFailed(f"the shell ended early ({output.status}).", hint=" ".join(said[-1:]))
        return result

    def prepare(self) -> None:
        """There is nothing to connect to."""

    def join(self, peer: socket.socket, address: str, port: int, *, sure: bool = False) -> None:  # noqa: ARG002
        """See `Transport.join`."""
        try:
            other = socket.create_connection((address, port))
        except OSError as error:
            peer.close()
            raise Unreachable(f"{address}:{port} does not answer: {error.strerror}.") from error

        def work() -> None:
            with peer, other:
                relay(peer, other, lambda: other.shutdown(socket.SHUT_RDWR))

        threading.Thread(target=work, daemon=True).start()

    def kill(self) -> None:
        """See `Transport.kill`."""
        self._process.kill()

    def close(self) -> None:
        """Nothing is held open."""

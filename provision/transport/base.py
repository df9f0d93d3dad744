"""The contract of a transport: a script goes to a host, its output and exit code come back, whole or not at all."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

OnLine = Callable[[str], None]
OnSent = Callable[[int, int], None]
"""Takes how many bytes of how many have been sent."""


@dataclass(frozen=True)
class Result:
    """What a script did: its exit code, and what it wrote to standard output and standard error."""

    rc: int
    out: str
    err: str


class Transport(Protocol):
    """A way to one host. Belongs to one thread; `run` may be called any number of times until `close`."""

    def run(
        self,
        script: str,
        *,
        as_user: str = "",
        timeout: float | None = None,
        on_line: OnLine | None = None,
        on_sent: OnSent | None = None,
    ) -> Result:
        """Run a POSIX shell script.

        The script travels on standard input, so neither it nor its secrets stand in a process list; it is read whole
        before its first command runs, so half a script never runs. It runs in `/` with `LC_ALL=C`, `umask 077`, no
        libpq variables and nothing on its standard input. as_user: the account to run it under, when the
        transport's own is not meant; on_line is given each line of standard output as it comes, on_sent how far the
        script has been sent. timeout: seconds.

        Raises Unreachable when the host does not answer, or the answer is cut short, and HostFailed on time-out.
        A script that fails is no error here: look at `rc`.
        """
        ...

    def prepare(self) -> None:
        """Connect, if there is no connection yet. May be called from any thread. Raises Unreachable."""
        ...

    def join(self, peer: socket.socket, address: str, port: int, *, sure: bool = False) -> None:
        """Join a connection of ours (`peer`) to a port as the host itself reaches it, until either side closes.

        Returns soon, and takes charge of the socket. May be called from any thread, many times at once. Raises
        Unreachable when the host does not answer. Where it does not join, that is raised too, or the peer is closed:
        with `sure` it is raised in any case, and it may take a moment to know.
        """
        ...

    def kill(self) -> None:
        """End the script that is running, from another thread; `run` raises. Nothing happens when none is."""
        ...

    def close(self) -> None:
        """Let go of the connection. May be called twice; never raises."""
        ...

"""The way to a host by Fabric: through jump hosts in ssh's order, or through a command.

Fabric reads ProxyJump too, but goes through several hosts in the opposite order, and trusts each of them unseen; of
ProxyCommand it forgets the port, and does not see the command end.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from typing import Any, Self

from fabric import Config, Connection
from fabric.connection import derive_shorthand

CONNECT_SECONDS = 10
NONE = "none"


class Command:
    """A command that reaches a host, shaped as what Fabric expects of a gateway."""

    def __init__(self, text: str, user: str) -> None:
        self.text = text
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()

    @property
    def transport(self) -> Self:
        """What opens channels: itself."""
        return self

    def open(self) -> None:
        """There is nothing to open before the host is known."""

    def open_channel(self, *, dest_addr: tuple[str, int], **_: object) -> socket.socket:
        """Start the command; its standard input and output are the connection."""
        host, port = dest_addr
        words = {"%h": host, "%n": host, "%p": str(port), "%r": self._user}
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                ["sh", "-c", f"exec {_expanded(self.text, words)}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                start_new_session=True,
            )
        return ours

    @property
    def said(self) -> str:
        """The last that it complained of."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].rstrip(".") if lines else "it gave no reason"

    def close(self) -> None:
        """End the command."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            self._process.wait()
        self._errors.close()


def gateway(config: Config, host: str, *, user: str = "", jump: str = "", proxy: str = "") -> Any:
    """What `Connection` takes as its gateway. jump, proxy: instead of what ssh_config says."""
    return _gateway(config, host, user, jump, proxy, frozenset())


def hops(connection: Any) -> list[Any]:
    """The connections that lead to one, outermost first, itself last."""
    way = connection.gateway
    return [*(hops(way) if isinstance(way, Connection) else []), connection]


def _gateway(config: Config, host: str, user: str, jump: str, proxy: str, seen: frozenset[str]) -> Any:
    found = config.base_ssh_config.lookup(host)
    if not (jump or proxy):
        jump, proxy = str(found.get("proxyjump", "")), str(found.get("proxycommand", ""))
    if jump and jump != NONE:
        return _through(config, jump, seen | {host, str(found.get("hostname", host))})
    return Command(proxy, user or str(found.get("user", config.user))) if proxy and proxy != NONE else False


def _through(config: Config, jump: str, seen: frozenset[str]) -> Any:
    way: Any = False
    for number, hop in enumerate(jump.replace(" ", "").split(",")):
        address = hop.removeprefix("ssh://")
        name = derive_shorthand(address)["host"]
        if name in seen:  # `Host *` with a ProxyJump: the jump host itself is reached directly
            continue
        if number == 0:
            way = _gateway(config, name, "", "", "", seen | {name})
        way = Connection(address, config=config.clone(), gateway=way, connect_timeout=CONNECT_SECONDS)
    return way


def _expanded(text: str, words: dict[str, str]) -> str:
    parts = text.split("%%")
    for token, value in words.items():
        parts = [part.replace(token, value) for part in parts]
    return "%".join(parts)

"""Hosts reached by Fabric: the default.

Fabric brings the configuration (ssh_config, gateways, agents); the script goes through a bare channel of its
connection. Fabric accepts any host key by itself, so the policy is set here.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config, Connection

from provision.errors import HostFailed, Unreachable
from provision.inventory import HostKeys
from provision.transport import become
from provision.transport.base import OnLine, OnSent, Result
from provision.transport.framing import CutShort, Envelope, Outgoing, Tap
from provision.transport.login import Login
from provision.transport.openssh import CONNECT_SECONDS
from provision.transport.tunnel import relay

# What paramiko's threads say of a connection that fails comes out as an exception here, and becomes a sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

KEEPALIVE_SECONDS = 15
FAREWELL_SECONDS = 1.0
PROHIBITED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED (RFC 4254)."""

POLL_SECONDS = 0.05
KNOWN_HOSTS = "~/.ssh/known_hosts"
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


class SSH:
    """Runs scripts over one Fabric connection, opened when first needed."""

    def __init__(self, login: Login, connection: Any = None) -> None:
        self._login = login
        self._connection = connection or _connection(login)
        self._channel: Any = None
        self._opening = threading.Lock()
        self._relays: list[threading.Thread] = []
        _check_keys(self._connection, login.host_keys)

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
        envelope = Envelope()
        login = self._login
        remote, first = become.command(root=login.sudo, password=login.become_password, size=len(script))
        tap = Tap(envelope.mark, on_line) if on_line else None
        sent = Outgoing((first + envelope.wrap(script, as_user)).encode(), on_sent)
        out, err = self._exchange(remote, sent, tap, timeout)
        try:
            return envelope.open(out.decode(errors="replace"), err.decode(errors="replace"))
        except CutShort:
            said = err.decode(errors="replace")
            raise HostFailed(f"the shell of {self._login.host} ended early.", hint=become.why_not(said)) from None

    def _exchange(self, remote: str, sent: Outgoing, tap: Tap | None, timeout: float | None) -> tuple[bytes, bytes]:
        self._open()
        try:
            self._channel = channel = self._connection.transport.open_session()
            channel.exec_command(remote)
            return _converse(channel, sent, tap, timeout)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"the connection to {self._login.host} broke: {error}") from error
        finally:
            self.kill()

    def _open(self) -> None:
        name = self._login.host
        try:
            self._connection.open()
            self._connection.transport.set_keepalive(KEEPALIVE_SECONDS)
        except paramiko.BadHostKeyException as error:
            hint = "Check why, then correct known_hosts."
            raise Unreachable(f"the key of {name} is not the one in known_hosts.", hint=hint) from error
        except (paramiko.AuthenticationException, paramiko.PasswordRequiredException) as error:
            hint = "Check ssh.user, ssh.key_file and the agent."
            raise Unreachable(f"{name} refuses the login.", hint=hint) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"{name} cannot be reached: {str(error).rstrip('.')}.", hint=_hint(error)) from error

    def prepare(self) -> None:
        """See `Transport.prepare`."""
        with self._opening:
            self._open()

    def join(self, peer: socket.socket, address: str, port: int, *, sure: bool = False) -> None:  # noqa: ARG002
        """See `Transport.join`."""
        self.prepare()
        try:
            channel = self._connection.transport.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=CONNECT_SECONDS
            )
        except (paramiko.SSHException, OSError, EOFError) as error:
            peer.close()
            raise Unreachable(f"{self._login.host} does not join us to {address}:{port}: {_refusal(error)}") from error
        work = threading.Thread(target=_relay, args=(peer, channel), daemon=True)
        work.start()
        self._relays = [one for one in self._relays if one.is_alive()] + [work]

    def kill(self) -> None:
        """See `Transport.kill`."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def close(self) -> None:
        """See `Transport.close`. What the ends of joined connections have just said still gets through."""
        deadline = time.monotonic() + FAREWELL_SECONDS
        for relay_thread in self._relays:
            relay_thread.join(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(Exception):
            self._connection.close()


def _connection(login: Login) -> Any:
    config = Config(runtime_ssh_path=str(login.config)) if login.config else Config()
    credentials: dict[str, object] = {}
    if login.key_file:
        credentials["key_filename"] = str(login.key_file)
    if login.password is not None:
        credentials["password"] = login.password.reveal()
    return Connection(
        login.host,
        user=login.user,
        port=login.port,
        config=config,
        connect_timeout=CONNECT_SECONDS,
        connect_kwargs=credentials,
    )


def _check_keys(connection: Any, policy: HostKeys) -> None:
    client = connection.client
    if policy is HostKeys.OFF:
        return
    named = str(connection.ssh_config.get("userknownhostsfile", KNOWN_HOSTS)).split()
    first, *others = (Path(name).expanduser() for name in named)
    for path in (SYSTEM_KNOWN_HOSTS, *others, first):
        if path.exists():
            client.load_system_host_keys(str(path))
    if policy is HostKeys.STRICT:
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        return
    first.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    first.touch(mode=0o600)
    client.load_host_keys(str(first))
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())


def _converse(channel: Any, sent: Outgoing, tap: Tap | None, timeout: float | None) -> tuple[bytes, bytes]:
    """Send all, and read both streams while sending: a peer that cannot write does not read."""
    out, err = bytearray(), bytearray()
    deadline = time.monotonic() + timeout if timeout else None
    while True:
        moved = False
        if sent and channel.send_ready():
            sent.gone(channel.send(sent.next(32768)))
            moved = True
            if not sent:
                channel.shutdown_write()
        if channel.recv_ready():
            data = channel.recv(65536)
            out += data
            if tap:
                tap.feed(data)
            moved = True
        if channel.recv_stderr_ready():
            err += channel.recv_stderr(65536)
            moved = True
        if moved:
            continue
        if channel.exit_status_ready() and channel.eof_received:
            return bytes(out), bytes(err)
        if channel.closed:
            return bytes(out), bytes(err)
        if deadline and time.monotonic() > deadline:
            raise HostFailed(f"no answer within {timeout:g} s; the step was ended.")
        time.sleep(POLL_SECONDS)


def _relay(peer: socket.socket, channel: Any) -> None:
    with peer, contextlib.closing(channel):
        relay(peer, channel, channel.close)


def _refusal(error: Exception) -> str:
    """Why sshd does not open a channel to a port: it may not, or nobody listens there."""
    if isinstance(error, paramiko.ChannelException):
        if error.code == PROHIBITED:
            return "its sshd does not allow it (AllowTcpForwarding)."
        return "nobody listens there."
    return f"{str(error).rstrip('.') or type(error).__name__}."


def _hint(error: Exception) -> str:
    if "not found in known_hosts" in str(error):
        return "Put its key into known_hosts after checking it, or set ssh.host_keys to accept-new."
    if isinstance(error, socket.gaierror):
        return "Correct the address."
    return "Is it up, and the address right?"

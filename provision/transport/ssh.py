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
from provision.transport import become, hostkeys, trouble
from provision.transport.base import OnLine, OnSent, Result
from provision.transport.framing import CutShort, Envelope, Outgoing, Tap
from provision.transport.gateway import CONNECT_SECONDS, Command, gateway, hops
from provision.transport.login import Login
from provision.transport.tunnel import relay

# What paramiko's threads say of a connection that fails comes out as an exception here, and becomes a sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

KEEPALIVE_SECONDS = 15
FAREWELL_SECONDS = 1.0
PROHIBITED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED (RFC 4254)."""

POLL_SECONDS = 0.05


class SSH:
    """Runs scripts over one Fabric connection, opened when first needed."""

    def __init__(self, login: Login, connection: Any = None) -> None:
        self._login = login
        self._connection = connection or _connection(login)
        self._channel: Any = None
        self._opening = threading.Lock()
        self._relays: list[threading.Thread] = []
        for hop in hops(self._connection):
            hostkeys.demand(hop, login.host_keys)
            _leave_out_missing_keys(hop)

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
            raise become.refusal(self._login.host, err.decode(errors="replace")) from None

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
        *jumps, target = hops(self._connection)
        for hop in jumps:
            self._open_one(hop)
        self._open_one(target)
        target.transport.set_keepalive(KEEPALIVE_SECONDS)

    def _open_one(self, hop: Any) -> None:
        name = hostkeys.named(hop.host, int(hop.port))
        try:
            hop.open()
        except hostkeys.UnknownKey as error:
            raise trouble.unknown_key(name, hostkeys.fingerprint(error.key)) from error
        except paramiko.BadHostKeyException as error:
            raise trouble.changed_key(name, _place(hop, name)) from error
        except paramiko.ChannelException as error:
            why = f"its jump host {hop.gateway.host} cannot reach it ({error.text or error.code})"
            raise Unreachable(f"{name} cannot be reached: {why}.", hint=trouble.AWAY) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if _asked_who_we_are(hop):
                raise self._refused(hop) from error
            if isinstance(hop.gateway, Command):
                why = f"{name} cannot be reached by `{hop.gateway.text}`: {hop.gateway.said}."
                raise Unreachable(why, hint=trouble.AWAY) from error
            raise Unreachable(f"{name} cannot be reached: {str(error).rstrip('.')}.", hint=_hint(error)) from error

    def _refused(self, hop: Any) -> Unreachable:
        named = hop.connect_kwargs.get("key_filename") or hop.ssh_config.get("identityfile") or []
        keys = [Path(key).expanduser() for key in ([named] if isinstance(named, str) else named)]
        password = hop is self._connection and self._login.password is not None
        return trouble.refused(hop.host, hop.user, keys, password=password)

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
        for hop in reversed(hops(self._connection)):
            with contextlib.suppress(Exception):
                hop.close()
            if isinstance(hop.gateway, Command):
                hop.gateway.close()


def _connection(login: Login) -> Any:
    config = Config(runtime_ssh_path=str(login.config)) if login.config else Config()
    credentials: dict[str, object] = {}
    if login.key_file:
        credentials["key_filename"] = str(login.key_file)
    if login.password is not None:
        # Keys that happen to be around would use up the attempts that the server grants.
        credentials |= {"password": login.password.reveal(), "look_for_keys": False, "allow_agent": False}
    return Connection(
        login.host,
        user=login.user,
        port=login.port,
        config=config,
        gateway=gateway(config, login.host, user=login.user or "", jump=login.jump, proxy=login.proxy),
        connect_timeout=CONNECT_SECONDS,
        connect_kwargs=credentials,
    )


def _leave_out_missing_keys(hop: Any) -> None:
    """Like ssh, pass over files that ssh_config names and that are not there."""
    keys = hop.connect_kwargs.get("key_filename") or []
    found = [key for key in ([keys] if isinstance(keys, str) else keys) if Path(key).expanduser().is_file()]
    hop.connect_kwargs["key_filename"] = found


def _asked_who_we_are(hop: Any) -> bool:
    """Whether a connection that failed had come as far as the login."""
    transport = hop.client.get_transport()
    return transport is not None and transport.initial_kex_done and not transport.is_authenticated()


def _place(hop: Any, name: str) -> str:
    """Where the key stands that a host should have, as `file:line`."""
    return next((place for place, _ in hostkeys.known(hostkeys.files(hop), name)), "known_hosts")


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


class _End:
    """A channel as an end of a relay: sends and closes in one order.

    paramiko lets another thread close it between preparing data and sending them, and sshd drops the whole connection
    over data for a channel that is closed.
    """

    def __init__(self, channel: Any) -> None:
        self._channel, self._lock = channel, threading.Lock()

    def recv(self, size: int) -> bytes:
        return bytes(self._channel.recv(size))

    def sendall(self, data: bytes) -> None:
        while data:
            with self._lock:
                if self._channel.closed:
                    raise EOFError
                sent = self._channel.send(data) if self._channel.send_ready() else 0
            data = data[sent:]
            if not sent:  # not within the lock: the other direction must be able to close it
                time.sleep(POLL_SECONDS)

    def close(self) -> None:
        with self._lock:
            self._channel.close()


def _relay(peer: socket.socket, channel: Any) -> None:
    end = _End(channel)
    with peer, contextlib.suppress(OSError, EOFError), contextlib.closing(end):
        relay(peer, end, end.close)


def _refusal(error: Exception) -> str:
    """Why sshd does not open a channel to a port: it may not, or nobody listens there."""
    if isinstance(error, paramiko.ChannelException):
        if error.code == PROHIBITED:
            return "its sshd does not allow it (AllowTcpForwarding)."
        return "nobody listens there."
    return f"{str(error).rstrip('.') or type(error).__name__}."


def _hint(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "Correct the address."
    return trouble.AWAY

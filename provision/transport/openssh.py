"""Hosts reached by the ssh program: whatever its configuration can reach, with one connection kept for all scripts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from provision.errors import HostFailed, Unreachable
from provision.inventory import HostKeys
from provision.transport import become, trouble
from provision.transport.askpass import answering
from provision.transport.base import OnLine, OnSent, Result
from provision.transport.login import Login
from provision.transport.process import Process, talk

CONNECT_SECONDS = 10
LONGEST_SOCKET = 88
"""Bytes: the system takes 107, and ssh itself puts 17 behind the name while it makes the socket."""

KEPT_SECONDS = 60
REFUSAL_SECONDS = 0.5
"""How long to wait for ssh to say that it is not joined to a port; that it is, it does not say."""

ITS_OWN_ERROR = 255
"""The exit code with which ssh says that the trouble is its own."""

CHECKING = {HostKeys.STRICT: "yes", HostKeys.ACCEPT_NEW: "accept-new", HostKeys.OFF: "no"}


class OpenSSH:
    """Runs scripts by the ssh program, over one connection that stays open for a minute (ControlPersist)."""

    def __init__(self, login: Login) -> None:
        if not shutil.which("ssh"):
            hint = "Install OpenSSH's client, or say `connection: ssh`."
            raise HostFailed("there is no ssh program on this machine.", hint=hint)
        self._login = login
        self._process = Process()
        self._options = _options(login)
        self._opening = threading.Lock()
        self._joined: list[subprocess.Popen[bytes]] = []

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
        login = self._login
        remote, first = become.command(root=login.sudo, password=login.become_password, size=len(script))
        argv = ["ssh", *self._options, "--", self._login.host, remote]
        with self._password() as environment:
            result, output = talk(
                self._process,
                argv,
                script,
                first=first,
                as_user=as_user,
                env=environment,
                timeout=timeout,
                on_line=on_line,
                on_sent=on_sent,
            )
        if result:
            return result
        said = output.err.decode(errors="replace").strip()
        if output.status == ITS_OWN_ERROR:
            raise self._unreachable(said)
        raise become.refusal(self._login.host, said)

    def _in_full(self, said: str) -> str:
        """What the ssh that goes through the jump host, or another command, says: with a connection that is kept, ssh
        throws it away, and now and then says nothing itself.
        """
        if said and not any(sign in said for sign in ("kex_exchange_identification", "UNKNOWN port")):
            return said
        options = ["-o", "ControlMaster=no", "-o", "ControlPath=none", *self._options]
        command = ["ssh", *options, "--", self._login.host, "true"]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=3 * CONNECT_SECONDS,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return said
        return done.stderr.strip() or said

    def _unreachable(self, said: str) -> Unreachable:
        login = self._login
        said = self._in_full(said)
        found = effective(login)
        keys = [Path(key).expanduser() for key in found.get("identityfile", [])]
        return trouble.said_by_ssh(
            login.host,
            said,
            login.user or "",
            [login.key_file] if login.key_file else keys,
            password=login.password is not None,
            jump=" ".join(found.get("proxyjump", [])),
        )

    @contextlib.contextmanager
    def _password(self) -> Iterator[dict[str, str]]:
        """An environment in which ssh finds the password, where there is one."""
        with answering(self._login.password, _socket(self._login).parent) as more:
            yield {**os.environ, **more}

    def join(self, peer: socket.socket, address: str, port: int, *, sure: bool = False) -> None:
        """See `Transport.join`."""
        with peer:
            self.prepare()
            place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            command = ["ssh", *self._options, "-W", place, "--", self._login.host]
            with tempfile.TemporaryFile() as said:
                joined = subprocess.Popen(
                    command, stdin=peer.fileno(), stdout=peer.fileno(), stderr=said, start_new_session=True
                )
                self._joined = [*(one for one in self._joined if one.poll() is None), joined]
                if sure and _ends_within(joined, REFUSAL_SECONDS):
                    said.seek(0)
                    raise self._not_joined(place, said.read().decode(errors="replace"))

    def _not_joined(self, place: str, said: str) -> Unreachable:
        why = f"{(said.strip() or 'it gave no reason').splitlines()[-1]}."
        if "refused by peer" in said or "open failed" in said:
            why = "nobody listens there, or its sshd does not allow it (AllowTcpForwarding)."
        return Unreachable(f"{self._login.host} does not join us to {place}: {why}")

    def prepare(self) -> None:
        """See `Transport.prepare`."""
        with self._opening:
            there = ["ssh", *self._options, "-O", "check", "--", self._login.host]
            if subprocess.run(there, capture_output=True, check=False).returncode == 0:
                return
            # What goes into the background must not keep our pipe open, so what it says goes to a file.
            with tempfile.TemporaryFile() as said, self._password() as environment:
                command = ["ssh", *self._options, "-N", "-f", "--", self._login.host]
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, env=environment
                )
                said.seek(0)
                if done.returncode:
                    raise self._unreachable(said.read().decode(errors="replace").strip())

    def kill(self) -> None:
        """See `Transport.kill`."""
        self._process.kill()

    def close(self) -> None:
        """Let the kept connection end when nothing goes through it any more: others of the same login may share it."""
        for one in self._joined:
            one.terminate()
            one.wait(CONNECT_SECONDS)
        command = ["ssh", *self._options, "-O", "stop", "--", self._login.host]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, check=False, timeout=CONNECT_SECONDS)


def _options(login: Login) -> list[str]:
    settings = {
        "BatchMode": "yes" if login.password is None else "no",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "StrictHostKeyChecking": CHECKING[login.host_keys],
        "ControlMaster": "auto",
        "ControlPersist": str(KEPT_SECONDS),
        "ControlPath": str(_socket(login)),
        "LogLevel": "ERROR",
        "RequestTTY": "no",
    }
    if login.host_keys is HostKeys.OFF:
        settings["UserKnownHostsFile"] = "/dev/null"
    if login.password is not None:
        settings |= {"NumberOfPasswordPrompts": "1", "PubkeyAuthentication": "yes" if login.key_file else "no"}
    return [*(word for name, value in settings.items() for word in ("-o", f"{name}={value}")), *whereto(login)]


def whereto(login: Login) -> list[str]:
    """The options that say where a host is and who logs in."""
    options = ["-F", str(login.config)] if login.config else []
    options += ["-p", str(login.port)] if login.port else []
    options += ["-l", login.user] if login.user else []
    options += ["-i", str(login.key_file)] if login.key_file else []
    options += ["-o", f"ProxyJump={login.jump}"] if login.jump else []
    options += ["-o", f"ProxyCommand={login.proxy}"] if login.proxy else []
    return options


def effective(login: Login) -> dict[str, list[str]]:
    """What ssh makes of its configuration for a host: values by lower-case keyword."""
    command = ["ssh", "-G", *whereto(login), "--", login.host]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CONNECT_SECONDS)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        word, _, value = line.partition(" ")
        found.setdefault(word, []).append(value)
    return found


def _socket(login: Login) -> Path:
    """A path in a folder that only we can enter, one per login, and short: see LONGEST_SOCKET."""
    name = Path(f"pgherd-{os.geteuid()}", hashlib.sha256(repr(login).encode()).hexdigest()[:16])
    places = [Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp"), Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108
    path = next((place / name for place in places if len(bytes(place / name)) <= LONGEST_SOCKET), places[-1] / name)
    folder = path.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise HostFailed(f"{folder} belongs to somebody else.", hint="Set XDG_RUNTIME_DIR to a folder of yours.")
    return path


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True

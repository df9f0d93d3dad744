"""Hosts reached by the ssh program: whatever its configuration can reach, with one connection kept for all scripts."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from provision.errors import HostFailed, Unreachable
from provision.inventory import HostKeys
from provision.transport import become
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
        result, output = talk(
            self._process,
            argv,
            script,
            first=first,
            as_user=as_user,
            env=os.environ,
            timeout=timeout,
            on_line=on_line,
            on_sent=on_sent,
        )
        if result:
            return result
        said = output.err.decode(errors="replace").strip()
        if output.status == ITS_OWN_ERROR:
            raise self._unreachable(said)
        raise HostFailed(f"the shell of {self._login.host} ended early ({output.status}).", hint=become.why_not(said))

    def _unreachable(self, said: str) -> Unreachable:
        return Unreachable(f"ssh cannot reach {self._login.host}: {_last(said)}", hint=_hint(said))

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
        why = f"{_last(said.strip())}."
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
            with tempfile.TemporaryFile() as said:
                command = ["ssh", *self._options, "-N", "-f", "--", self._login.host]
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False)
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
        subprocess.run(command, capture_output=True, check=False, timeout=CONNECT_SECONDS)


def _options(login: Login) -> list[str]:
    settings = {
        "BatchMode": "yes",
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
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    options += ["-F", str(login.config)] if login.config else []
    options += ["-p", str(login.port)] if login.port else []
    options += ["-l", login.user] if login.user else []
    options += ["-i", str(login.key_file)] if login.key_file else []
    return options


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


def _last(said: str) -> str:
    return said.splitlines()[-1] if said else "it gave no reason"


def _hint(said: str) -> str:
    if "Host key verification failed" in said or "REMOTE HOST IDENTIFICATION" in said:
        return "Its key is unknown or has changed: check it, put it into known_hosts, or set ssh.host_keys."
    if "Permission denied" in said:
        return "It refuses the login: check ssh.user and ssh.key_file."
    return "Is it up, and the address right?"

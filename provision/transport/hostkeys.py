"""Keys of hosts: where known ones stand, which policy meets unknown ones, how they are shown and written down.

For Fabric, which by itself accepts any key, and for `provision trust`. The ssh program looks after its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys

from provision.inventory import HostKeys as Policy

KNOWN_HOSTS = "~/.ssh/known_hosts"
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


class UnknownKey(paramiko.SSHException):
    """A host shows a key that is in no file."""

    def __init__(self, name: str, key: paramiko.PKey) -> None:
        super().__init__(f"{name} shows an unknown key")
        self.key = key


class _Refuse(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        raise UnknownKey(hostname, key)


class _Keep(paramiko.MissingHostKeyPolicy):
    def __init__(self, file: Path) -> None:
        self._file = file

    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        append(self._file, [f"{hostname} {key.get_name()} {key.get_base64()}"])


def files(connection: Any) -> list[Path]:
    """Where the known keys for a Fabric connection are; the first one is where new ones go."""
    named = str(connection.ssh_config.get("userknownhostsfile", KNOWN_HOSTS)).split()
    return [*(Path(name).expanduser() for name in named), SYSTEM_KNOWN_HOSTS]


def demand(connection: Any, policy: Policy) -> None:
    """Have a Fabric connection check the host's key before it opens."""
    if policy is Policy.OFF:
        return
    found = files(connection)
    keys = connection.client.get_host_keys()
    for entry in (entry for path in reversed(found) for _, entry in _entries(path)):
        for hostname in entry.hostnames:
            keys.add(hostname, entry.key.get_name(), entry.key)
    keep = policy is Policy.ACCEPT_NEW
    connection.client.set_missing_host_key_policy(_Keep(found[0]) if keep else _Refuse())


def append(file: Path, lines: Sequence[str]) -> None:
    """Add lines to a file of known keys: several runs may do so at once, and what it holds stays as it is."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        whole = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
        os.write(descriptor, ("" if whole else "\n").encode() + "".join(f"{line}\n" for line in lines).encode())
    finally:
        os.close(descriptor)


def known(paths: Sequence[Path], name: str) -> Iterator[tuple[str, paramiko.PKey]]:
    """The known keys of a name (`host` or `[host]:port`), each with the place, `file:line`, where it stands."""
    for path in paths:
        for number, entry in _entries(path):
            if _names(entry, name):
                yield f"{path}:{number}", entry.key


def fingerprint(key: paramiko.PKey) -> str:
    """A key as people compare it: `ED25519 SHA256:...`."""
    return f"{key.get_name().removeprefix('ssh-').partition('-sha2')[0].upper()} {key.fingerprint}"


def named(host: str, port: int) -> str:
    """A host as known_hosts has it."""
    return host if port == paramiko.config.SSH_PORT else f"[{host}]:{port}"


def _entries(path: Path) -> Iterator[tuple[int, HostKeyEntry]]:
    """The keys in a file, by line; like ssh, past what cannot be read."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if entry is not None and entry.key is not None:
            yield number, entry


def _entry(line: str) -> HostKeyEntry | None:
    if not line.strip() or line.lstrip().startswith(("#", "@")):
        return None
    try:
        return HostKeyEntry.from_line(line)
    except (paramiko.SSHException, ValueError):
        return None


def _names(entry: HostKeyEntry, name: str) -> bool:
    one = HostKeys()
    for hostname in entry.hostnames:
        one.add(hostname, entry.key.get_name(), entry.key)
    return one.lookup(name) is not None

"""The authority of an inventory: its files on this machine, and the certificates that its nodes have from it.

| file in `ca/` of the state directory | what |
|---|---|
| ca.crt, ca.key | the authority; whoever has the key can pose as any node |
| nodes/HOST.crt, nodes/HOST.key | what the host is given |
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from provision.certificates.pairs import Pair, new_authority, new_certificate, new_key, private_key
from provision.certificates.reading import belongs, due, end_of, read
from provision.errors import Fault, InputError
from provision.secrets import Secret, check_private, write_private

LAST_YEAR = timedelta(days=365)


class Authority:
    """Makes and keeps certificates. Safe to share between threads, and between processes.

    keep: what is made goes into the folder; without, it is good for showing only, and the same while we live.
    """

    def __init__(self, folder: Path, name: str, *, keep: bool, now: datetime | None = None) -> None:
        self.folder = folder
        self._name = name
        self._keep = keep
        self._now = now or datetime.now(UTC)
        self._lock = threading.Lock()
        self._made: dict[str, Pair] = {}

    @property
    def root(self) -> str:
        """The authority's certificate. Raises InputError."""
        with self._lock, self._exclusive():
            return self._authority().certificate

    def pair(self, host: str, names: Sequence[str]) -> Pair:
        """A host's certificate and key, made anew when that is due. Raises InputError."""
        with self._lock, self._exclusive():
            authority = self._authority()
            path = self.folder / "nodes" / host
            found = self._made.get(host) or self._read(path)
            if found is None or due(found, authority, names, self._now):
                found = new_certificate(authority, names, _usable(found) or new_key(), self._now)
                self._write(path, found)
            self._made[host] = found
            return found

    def warning(self) -> str:
        """What should be known of the authority itself; "" when there is nothing."""
        if not self.folder.exists():
            return ""
        end = end_of(self.root)
        if end is None or end - self._now > LAST_YEAR:
            return ""
        return (
            f"the certificate authority in {self.folder} ends on {end:%Y-%m-%d}: move the folder away, and the next"
            " deploy makes another and gives every host a certificate of it"
        )

    def _authority(self) -> Pair:
        made = self._made.get("") or self._read(self.folder / "ca")
        if made is None:
            made = new_authority(self._name, self._now)
            self._write(self.folder / "ca", made)
        self._made[""] = made
        return made

    def _read(self, path: Path) -> Pair | None:
        """A pair that is kept; None when there is none, or only half of one of a node."""
        key, certificate = path.with_name(f"{path.name}.key"), path.with_name(f"{path.name}.crt")
        try:
            check_private(key, key.stat())
            pair = Pair(certificate=certificate.read_text(), key=Secret(key.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise InputError([Fault(str(key), 0, "", f"cannot be read: {why}")]) from None
        if path.name == "ca" and path.parent == self.folder:
            _check(pair, certificate)
        return pair

    def _write(self, path: Path, pair: Pair) -> None:
        if not self._keep:
            return
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(path.with_name(f"{path.name}.key"), pair.key.reveal())
            write_private(path.with_name(f"{path.name}.crt"), pair.certificate)
        except OSError as error:
            raise InputError([Fault(str(path.parent), 0, "", f"cannot be written: {error.strerror}")]) from error

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._keep:
            yield
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError([Fault(str(self.folder), 0, "", f"cannot be written: {error.strerror}")]) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _check(authority: Pair, path: Path) -> None:
    try:
        good = belongs(read(authority.certificate), authority.key)
    except (ValueError, TypeError):
        good = False
    if not good:
        message = "no certificate with its key beside it; restore both from a copy, or move the folder away"
        raise InputError([Fault(str(path), 0, "", message)])


def _usable(found: Pair | None) -> Secret | None:
    """The key of a pair, to be kept: then a renewal changes one file on the host, and no crash parts the two."""
    try:
        if found:
            private_key(found.key)
            return found.key
    except (ValueError, TypeError):
        return None
    return None

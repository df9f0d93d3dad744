"""Keeps the secrets of one inventory: those it fetches, those it generates into a private file; and masks them all."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import yaml

from provision.errors import Fault, InputError
from provision.secrets import sources
from provision.secrets.ansible_vault import Unknown, open_vault
from provision.secrets.passfile import escaped
from provision.secrets.passphrase import Passphrase
from provision.secrets.private import check_private, write_private
from provision.secrets.sealed import Damaged, WrongPassphrase
from provision.secrets.secret import MASK, Secret
from provision.secrets.vault import Vault
from provision.secrets.verifiers import VERIFIER

SHORTEST_MASKED = 4
"""Shorter values would mask half of every text; a password of three letters is no secret anyway."""
SHORTEST_LINE = 16
"""Of a secret of several lines (a private key), lines of this length are masked by themselves too."""


class Keeper:
    """The secrets of one inventory: those it fetches, and those it generates and keeps in a file.

    path: the file, mode 0600; made when the first secret is generated. vault: the sealed file that `!secret` refers to.
    Safe to share between threads, and between processes that work on the same file.
    """

    def __init__(self, path: Path, vault: Vault | None = None) -> None:
        self.path = path
        self.vault = vault
        self._lock = threading.RLock()
        self._fetched: dict[tuple[str, str], Secret] = {}
        self._asked: dict[str, Secret] = {}
        self._shown: set[str] = set()
        self._refused: InputError | None = None

    def get(self, name: str) -> Secret | None:
        """The kept secret of a name, or None. Raises InputError when others may read the file."""
        with self._lock:
            value = self._read().get(name)
        return None if value is None else self.know(value)

    def keep(self, name: str) -> Secret:
        """The kept secret of a name, generated when there is none yet."""
        with self._lock, self._exclusive():
            kept = self._read()
            if name not in kept:
                kept[name] = secrets.token_urlsafe(24)
                self._write(kept)
        return self.know(kept[name])

    def forget(self) -> None:
        """Remove the file and all that is kept in it."""
        with self._lock:
            self.path.unlink(missing_ok=True)
            self._lock_path.unlink(missing_ok=True)

    def fetch(self, source: sources.Source) -> Secret:
        """The secret that a source of the inventory gives, fetched once. Raises InputError naming its line."""
        key = (source.kind, source.text)
        with self._lock:
            if key not in self._fetched:
                self._fetched[key] = self.know(self._read_source(source))
            return self._fetched[key]

    def _read_source(self, source: sources.Source) -> str:
        if source.kind == "given":
            return source.text
        if self.vault is None or source.kind not in ("secret", "vault"):
            return sources.read(source)
        if source.kind == "vault":
            return self._vaulted(source, self.vault.passphrase)
        entries = self.vault.entries()
        if source.text not in entries:
            raise sources.not_given(source, self.vault.missing(source.text))
        return entries[source.text]

    def _vaulted(self, source: sources.Source, passphrase: Passphrase) -> str:
        if self._refused:
            raise self._refused
        try:
            return open_vault(source.text, passphrase.for_ansible(f"!vault in {source.mark.file}"))
        except WrongPassphrase:
            self._refused = sources.not_given(source, "the passphrase of !vault is wrong")
            raise self._refused from None
        except Damaged:
            raise sources.not_given(source, "what stands after !vault is damaged") from None
        except Unknown as error:
            message = f"found {str(error)[:40]!r} after !vault, expected $ANSIBLE_VAULT;1.1;AES256 or 1.2"
            raise sources.not_given(source, message) from None

    def fetch_all(self, wanted: Iterable[sources.Source]) -> None:
        """Fetch all of them, so that whatever is missing is known before anything is touched. Raises InputError."""
        faults: list[Fault] = []
        for source in wanted:
            try:
                self.fetch(source)
            except InputError as error:
                faults += error.faults
        if faults:
            raise InputError(dict.fromkeys(faults))

    def clear_environment(self) -> None:
        """Take the variables that secrets came from out of the environment: nothing that is started inherits them."""
        with self._lock:
            for kind, name in self._fetched:
                if kind == "env":
                    os.environ.pop(name, None)

    def give(self, purpose: str, value: str) -> None:
        """Take what somebody has typed. purpose: what it is for."""
        self._asked[purpose] = self.know(value)

    def asked(self, purpose: str) -> Secret | None:
        """What somebody has typed for a purpose, if anybody was asked."""
        return self._asked.get(purpose)

    def know(self, value: str) -> Secret:
        """A value as a Secret that `mask` knows from now on."""
        if len(value) >= SHORTEST_MASKED:
            with self._lock:
                self._shown |= set(_disguises(value))
        return Secret(value)

    def mask(self, text: str) -> str:
        """The text with every secret met so far, quoted or escaped as it may be, replaced by ***."""
        with self._lock:
            shown = sorted(self._shown, key=len, reverse=True)
        for value in shown:
            text = text.replace(value, MASK)
        return VERIFIER.sub(f"SCRAM-SHA-256${MASK}", text)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._fault(f"cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _read(self) -> dict[str, str]:
        try:
            with self.path.open(encoding="utf-8") as file:
                check_private(self.path, os.fstat(file.fileno()))
                content = yaml.safe_load(file)
        except FileNotFoundError:
            return {}
        except (yaml.YAMLError, UnicodeDecodeError):
            content = ""  # the parser's own message would quote the secrets
        except OSError as error:
            raise self._fault(f"cannot be read: {error.strerror}") from error
        if not isinstance(content or {}, dict) or content == "":
            raise self._fault("found no `name: secret` lines, expected what was kept there; restore it or remove it")
        return {str(name): str(value) for name, value in (content or {}).items()}

    def _write(self, kept: dict[str, str]) -> None:
        header = "# Generated and kept by pgherd provision. Whoever reads this file can log in.\n"
        try:
            write_private(self.path, header + yaml.safe_dump(kept, default_flow_style=False))
        except OSError as error:
            raise self._fault(f"cannot be written: {error.strerror}") from error

    def _fault(self, message: str) -> InputError:
        return InputError([Fault(str(self.path), 0, "", message)])


def _disguises(value: str) -> Iterator[str]:
    """The forms in which a value may turn up in a text."""
    yield value
    if "\n" in value:
        yield from (line for line in value.splitlines() if len(line) >= SHORTEST_LINE and not line.startswith("-----"))
    yield escaped(value)
    yield value.replace("'", "''")
    yield shlex.quote(value).strip("'")
    yield json.dumps(value)[1:-1]
    yield repr(value)[1:-1]
    yield quote(value, safe="")

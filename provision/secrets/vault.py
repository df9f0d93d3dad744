"""The file of sealed secrets that `!secret NAME` refers to: read, changed by one at a time, written whole.

The file may be committed and read by anybody: without its passphrase it tells how much is in it, and no more.
"""

from __future__ import annotations

import difflib
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.errors import Fault, InputError
from provision.secrets import sealed
from provision.secrets.passphrase import Passphrase
from provision.secrets.private import write_private
from provision.secrets.secret import Secret

ENTRY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@-]{0,127}")
NAMES = "letters, digits and any of _ . / @ -"


class Vault:
    """A file of sealed secrets. path: where it is, or will be."""

    def __init__(self, path: Path, passphrase: Passphrase | None = None) -> None:
        self.path = path
        self.passphrase = passphrase or Passphrase()
        self._found: dict[str, str] | InputError | None = None

    def entries(self) -> dict[str, str]:
        """What is in the file, opened once. Raises InputError, always the same one when it does."""
        if self._found is None:
            try:
                self._found = self._open(self._text())
            except InputError as error:
                self._found = error
        if isinstance(self._found, InputError):
            raise self._found
        return dict(self._found)

    def missing(self, name: str) -> str:
        """What to say of an entry that is not there."""
        near = difflib.get_close_matches(name, self.entries(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"`provision secret set INVENTORY {name}` adds it"
        return f"{self.path} has no entry {name!r}; {hint}"

    @contextmanager
    def changing(self) -> Iterator[dict[str, str]]:
        """The entries, to be changed inside of the block; written at its end if they were. Raises InputError."""
        with self._exclusive():
            text = self._text(missing="")
            before = self._open(text) if text else {}
            entries = dict(before)
            yield entries
            if entries == before:
                return
            shown = str(self.path)
            self._write(entries, self.passphrase.get(shown) if text else self.passphrase.new(shown))

    def rekey(self, new: Secret) -> None:
        """Seal the same entries under another passphrase. Raises InputError."""
        with self._exclusive():
            self._write(self._open(self._text()), new)

    def _write(self, entries: dict[str, str], passphrase: Secret) -> None:
        try:
            write_private(self.path.resolve(), sealed.seal(entries, passphrase))
        except OSError as error:
            raise self._fault(f"cannot be written: {error.strerror}") from error
        self._found = entries

    def _text(self, missing: str | None = None) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if missing is not None:
                return missing
            raise self._fault("there is no such file; `provision secret set INVENTORY NAME` makes it") from None
        except UnicodeDecodeError:
            raise self._damaged() from None
        except OSError as error:
            raise self._fault(f"cannot be read: {error.strerror}") from error

    def _open(self, text: str) -> dict[str, str]:
        try:
            sealed.check(text)
            return sealed.unseal(text, self.passphrase.get(str(self.path)))
        except sealed.Damaged:
            raise self._damaged() from None
        except sealed.WrongPassphrase:
            raise self._fault("the passphrase is wrong") from None

    def _damaged(self) -> InputError:
        return self._fault("is damaged, or no file of secrets that this version knows; restore it from a copy")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One change at a time: by a lock on the folder, which leaves nothing behind."""
        try:
            handle = os.open(self.path.resolve().parent, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._fault(f"cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _fault(self, message: str) -> InputError:
        return InputError([Fault(str(self.path), 0, "", message)])


def check_name(name: str) -> str:
    """A name that an entry may have. Raises InputError."""
    if not ENTRY.fullmatch(name):
        raise InputError(f"found the name {name!r}, expected {NAMES}")
    return name

"""The passphrase that opens sealed secrets: from a file, a command, the environment, or asked for at the terminal once.

| variable | gives |
|---|---|
| PGHERD_PASSPHRASE_FILE | a file whose first line it is, for its owner alone (`--passphrase-file` sets it) |
| PGHERD_PASSPHRASE_COMMAND | a shell command whose first line of output it is |
| PGHERD_PASSPHRASE | the passphrase itself |
| ANSIBLE_VAULT_PASSWORD_FILE | for `!vault` only: Ansible's file of a passphrase, or program that prints it |
"""

from __future__ import annotations

import getpass
import os
import shlex
import stat
import subprocess
from collections.abc import MutableMapping
from pathlib import Path

from provision.errors import Fault, InputError
from provision.secrets.private import check_private
from provision.secrets.secret import Secret

FILE = "PGHERD_PASSPHRASE_FILE"
COMMAND = "PGHERD_PASSPHRASE_COMMAND"
VALUE = "PGHERD_PASSPHRASE"
ANSIBLE = "ANSIBLE_VAULT_PASSWORD_FILE"
WAYS = f"give it by --passphrase-file FILE, or by {FILE}, {COMMAND} or {VALUE}"
SHORTEST = 8
COMMAND_TIMEOUT = 120.0


class Passphrase:
    """A passphrase, had when it is first needed. Takes PGHERD_PASSPHRASE out of the environment: no child gets it."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._file = environment.get(FILE, "")
        self._command = environment.get(COMMAND, "")
        self._value = Secret(environment.pop(VALUE, ""))
        self._ansible = environment.get(ANSIBLE, "")
        self._known_to_ansible: Secret | None = None
        self._known: Secret | None = None

    @property
    def told(self) -> bool:
        """Whether it is given, so that nobody has to be asked."""
        return bool(self._file or self._command or self._ansible or self._value.reveal() or self._known)

    def get(self, what: str) -> Secret:
        """The passphrase of something that there is. Raises InputError."""
        if self._known is None:
            self._known = self._given() or ask(f"Passphrase of {what}: ")
        return self._known

    def for_ansible(self, what: str) -> Secret:
        """The passphrase of what Ansible Vault has encrypted: as Ansible is told, else the same as ours."""
        if self._known_to_ansible is None and self._ansible:
            path = Path(self._ansible).expanduser()
            if path.is_file() and os.access(path, os.X_OK):
                found = _first_line(_output(shlex.quote(str(path.resolve())), ANSIBLE), str(path))
            else:
                found = from_file(path)
            self._known_to_ansible = Secret(found.reveal().strip())
        return self._known_to_ansible or self.get(what)

    def new(self, what: str) -> Secret:
        """A passphrase for something that is being made: asked for twice. Raises InputError."""
        if self._known is None:
            self._known = long_enough(self._given() or ask_twice(f"New passphrase for {what}: "))
        return self._known

    def _given(self) -> Secret | None:
        if self._file:
            return from_file(Path(self._file))
        if self._command:
            return _first_line(_output(self._command, COMMAND), f"`{self._command}` ({COMMAND})")
        return self._value if self._value.reveal() else None


def from_file(path: Path) -> Secret:
    """The passphrase in the first line of a file (or of a pipe) that nobody else may read. Raises InputError."""
    try:
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode):
                check_private(path, found)
            text = file.read()
    except UnicodeDecodeError:
        raise _fault(path, "holds something else than text in UTF-8, expected a passphrase") from None
    except OSError as error:
        raise _fault(path, f"the passphrase cannot be read: {error.strerror}") from error
    return _first_line(text, str(path))


def ask(prompt: str) -> Secret:
    """A secret typed at the terminal, which does not show it. Raises InputError where there is no terminal."""
    try:
        Path("/dev/tty").open("rb+", buffering=0).close()
    except OSError:
        raise InputError(f"{prompt.rstrip(': ')} is needed, and no terminal is here to ask at: {WAYS}") from None
    try:
        return Secret(getpass.getpass(prompt))
    except EOFError:
        raise InputError("nothing was typed") from None


def ask_twice(prompt: str) -> Secret:
    """The same, for something new: typed twice. Raises InputError when the two differ."""
    first = ask(prompt)
    if ask("Once more: ") != first:
        raise InputError("the two differ; nothing was changed")
    return first


def long_enough(passphrase: Secret) -> Secret:
    """The passphrase, if it is one. Raises InputError."""
    if len(passphrase.reveal()) < SHORTEST:
        raise InputError(f"the new passphrase has fewer than {SHORTEST} characters, expected a sentence of some words")
    return passphrase


def _output(command: str, source: str) -> str:
    try:
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, encoding="utf-8", check=False, timeout=COMMAND_TIMEOUT
        )
    except (UnicodeDecodeError, subprocess.TimeoutExpired):
        raise InputError(f"`{command}` ({source}) gave no text within {COMMAND_TIMEOUT:.0f} s") from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise InputError(f"`{command}` ({source}) failed with code {done.returncode}: {why}")
    return done.stdout


def _first_line(text: str, where: str) -> Secret:
    line = text.split("\n", 1)[0].rstrip("\r")
    if not line:
        raise InputError(f"{where}: the first line is empty, expected the passphrase there")
    return Secret(line)


def _fault(path: Path, message: str) -> InputError:
    return InputError([Fault(str(path), 0, "", message)])

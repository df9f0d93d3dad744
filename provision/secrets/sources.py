"""Fetches a secret from where the inventory says that it is: the environment, or what a command prints."""

from __future__ import annotations

import os
import subprocess
from typing import Protocol

from provision.errors import Fault, InputError

COMMAND_TIMEOUT = 120.0
"""Seconds that a command may take; somebody may have to type a passphrase."""


class Place(Protocol):
    """Where something stands in a file."""

    @property
    def file(self) -> str:
        """The file, as the user named it."""

    @property
    def line(self) -> int:
        """The line, from 1."""


class Source(Protocol):
    """What the inventory says of a secret: `env` and a variable, `command` and a command line, `secret` and a name.

    `vault`: what Ansible Vault has encrypted; `given`: the secret itself.
    """

    @property
    def kind(self) -> str:
        """One of `env`, `command`, `secret`, `vault`, `given`."""

    @property
    def text(self) -> str:
        """The name or the command line."""

    @property
    def mark(self) -> Place:
        """Where it is written."""


def read(source: Source) -> str:
    """The secret that a source gives. Raises InputError naming its line."""
    return _environment(source) if source.kind == "env" else _output(source)


def _environment(source: Source) -> str:
    value = os.environ.get(source.text)
    if not value:
        raise not_given(source, f"the environment variable {source.text} is not set, expected it to hold the secret")
    return value


def _output(source: Source) -> str:
    """The first line that a command prints, as `pass show` means it."""
    try:
        done = subprocess.run(
            ["sh", "-c", source.text],
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=COMMAND_TIMEOUT,
        )
    except UnicodeDecodeError:
        raise not_given(source, f"`{source.text}` printed something else than text in UTF-8") from None
    except subprocess.TimeoutExpired:
        raise not_given(source, f"`{source.text}` did not end within {COMMAND_TIMEOUT:.0f} s") from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise not_given(source, f"`{source.text}` failed with code {done.returncode}: {why}")
    value = done.stdout.split("\n")[0].rstrip("\r")
    if not value:
        raise not_given(source, f"`{source.text}` printed nothing, expected the secret in its first line")
    return value


def not_given(source: Source, message: str) -> InputError:
    """A secret that cannot be had, with the line that wants it."""
    return InputError([Fault(source.mark.file, source.mark.line, "", message)])

"""The password file that libpq reads (`.pgpass`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provision.secrets.secret import Secret


@dataclass(frozen=True, kw_only=True)
class PassEntry:
    """A line of a password file. Any field but the password may be `*`."""

    host: str
    port: int | str
    database: str
    user: str
    password: Secret


def passfile(entries: Sequence[PassEntry]) -> str:
    """The content of a libpq password file. Raises ValueError for a password that such a file cannot hold."""
    return "".join(_pass_line(entry) for entry in entries)


def _pass_line(entry: PassEntry) -> str:
    password = entry.password.reveal()
    if "\n" in password or "\r" in password:
        raise ValueError(f"the password of {entry.user} holds a line break, which a password file cannot")
    fields = (entry.host, str(entry.port), entry.database, entry.user, password)
    return ":".join(escaped(part) for part in fields) + "\n"


def escaped(field: str) -> str:
    """A field as such a file has it."""
    return field.replace("\\", "\\\\").replace(":", "\\:")

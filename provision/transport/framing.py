"""The envelope of a script: what goes round it, and how its answer is told from noise and from half an answer.

A mark that nobody can guess stands before and after the output. What a login shell says first is left outside; file
contents cannot forge the end; an answer without an end is refused.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex

from provision.transport.base import OnLine, OnSent, Result

LIBPQ = (
    "PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGPASSFILE PGSERVICE PGSERVICEFILE PGOPTIONS PGAPPNAME"
    " PGSSLMODE PGSSLROOTCERT PGCLIENTENCODING PGTZ PGDATESTYLE PGDATA PGCONNECT_TIMEOUT PGTARGETSESSIONATTRS"
)
"""Variables by which the caller's environment would change what PostgreSQL's programs do."""

quote = shlex.quote


class CutShort(Exception):
    """The answer has no end."""


def as_account(user: str, script: str) -> str:
    """A fragment that runs a script under another account. The caller must be root.

    The mark is the script's own digest, which cannot stand in it: equal scripts make equal fragments.
    """
    mark = f"as_{hashlib.sha256(script.encode()).hexdigest()[:24]}"
    return (
        f"if runuser -u {quote(user)} -- true 2>/dev/null; then set -- runuser -u {quote(user)} -- sh -s;\n"
        f"else set -- su -s /bin/sh {quote(user)} -c 'sh -s'; fi\n"
        f"\"$@\" <<'{mark}'\n(\n{script.rstrip()}\n) </dev/null\n{mark}\n"
    )


class Envelope:
    """Wraps one script and opens its answer."""

    def __init__(self) -> None:
        self.mark = f"@{secrets.token_hex(12)}"

    def wrap(self, script: str, as_user: str = "") -> str:
        """The script to send."""
        body = as_account(as_user, script) if as_user else script
        return (
            f"export LC_ALL=C; umask 077; cd /; unset {LIBPQ}\n"
            f"printf '%s\\n' {self.mark} >&2; printf '%s\\n' {self.mark}\n"
            f"(\n{body.rstrip()}\n) </dev/null\n"
            f"set -- \"$?\"; printf '\\n%s end\\n' {self.mark} >&2; printf '\\n%s %s\\n' {self.mark} \"$1\"\n"
            "exit 0\n"
        )

    def open(self, out: str, err: str) -> Result:
        """The result. Raises CutShort when the end mark is missing."""
        found = re.search(rf"^{self.mark}\n(.*?)\n?^{self.mark} (\d+)$", out, re.DOTALL | re.MULTILINE)
        if not found:
            raise CutShort
        return Result(int(found[2]), found[1], self._errors(err))

    def _errors(self, err: str) -> str:
        """Standard error ends a moment later than standard output may; what has come is what counts."""
        return err.partition(f"{self.mark}\n")[2].partition(f"\n{self.mark} end")[0]


class Outgoing:
    """What is still to be sent. False when nothing is."""

    def __init__(self, data: bytes, on_sent: OnSent | None = None) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._on_sent = on_sent

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def next(self, most: int) -> memoryview:
        """The next portion."""
        return self._data[self._at : self._at + most]

    def gone(self, count: int) -> None:
        """So many bytes of it have been taken."""
        self._at += count
        if self._on_sent:
            self._on_sent(self._at, len(self._data))

    def give_up(self) -> None:
        """Nobody takes the rest."""
        self._at = len(self._data)


class Tap:
    """Hands on the lines between the marks while they come. Feed it bytes in any portions."""

    def __init__(self, mark: str, on_line: OnLine) -> None:
        self._mark = mark.encode()
        self._on_line = on_line
        self._rest = b""
        self._inside = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of standard output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(self._mark):
                self._inside = line == self._mark
            elif self._inside and line:
                self._on_line(line.decode(errors="replace"))

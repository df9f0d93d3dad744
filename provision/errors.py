"""Every error that provisioning raises on purpose, and the exit code that each one ends the command with.

The docstring of a class is its default sentence; an instance names the file, host or object and says what to do.

======  ==========================================================
code    meaning
======  ==========================================================
0       everything is as declared
1       something failed on a host (or in the tool itself)
2       the input or the command line is wrong; nothing was touched
3       something differs from what is declared (`check`)
4       a host or server did not answer
130     interrupted
======  ==========================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OK = 0


@dataclass(frozen=True, order=True)
class Fault:
    """One mistake in what the user wrote. file: as the user named it; line: from 1, 0 when there is none.

    path: the keys that lead there, joined by dots (`all.vars.postgresql.port`), or empty.
    """

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ProvisionError(Exception):
    """Provisioning cannot go on."""

    exit_code = 1

    def __init__(self, message: str | None = None, *, hint: str = "") -> None:
        super().__init__(message or type(self).__doc__ or "")
        self.hint = hint

    def __str__(self) -> str:
        text = str(self.args[0])
        return f"{text} {self.hint}" if self.hint else text


class InputError(ProvisionError):
    """The inventory, a template or the command line cannot be taken as it is."""

    exit_code = 2

    def __init__(self, faults: Iterable[Fault] | str, *, hint: str = "") -> None:
        given = [Fault("", 0, "", faults)] if isinstance(faults, str) else list(faults)
        self.faults: tuple[Fault, ...] = tuple(given)
        super().__init__("\n".join(str(fault) for fault in self.faults), hint=hint)


class HostFailed(ProvisionError):
    """A change could not be made on a host."""


class Differs(ProvisionError):
    """Something differs from what is declared."""

    exit_code = 3


class Unreachable(ProvisionError):
    """A host does not answer."""

    exit_code = 4


class HostKeyTrouble(Unreachable):
    """A host's key is not known, or has changed."""


class LoginRefused(Unreachable):
    """A host lets us not in."""


class SudoRefused(HostFailed):
    """A host lets us in, but sudo does not make us root."""


class Busy(HostFailed):
    """Another run is at work on a host."""


class Interrupted(ProvisionError):
    """The work was interrupted; what was begun on a host has ended, nothing new was started."""

    exit_code = 130

"""Collects what is wrong with an inventory, so that all of it can be said at once."""

from __future__ import annotations

from pathlib import Path

from provision.errors import Fault, InputError
from provision.inventory.marks import Mark
from provision.inventory.wording import dotted


class Faults:
    """Collects what is wrong, so that all of it can be reported at once."""

    def __init__(self) -> None:
        self._found: dict[Fault, None] = {}
        self.fatal = False

    def add(self, mark: Mark, message: str, *, fatal: bool = False) -> None:
        """Note a fault; the same one twice counts once. fatal: what follows from it is not worth looking at."""
        self._found[Fault(mark.file, mark.line, dotted(mark.path), message)] = None
        self.fatal = self.fatal or fatal

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raise InputError with every fault, by file and line."""
        if self._found:
            raise InputError(sorted(self._found))


def read_text(path: Path, faults: Faults) -> str | None:
    """The text of a UTF-8 file, or None with a fault."""
    try:
        data = path.read_bytes()
    except OSError as error:
        faults.add(Mark(str(path)), f"cannot be read: {(error.strerror or str(error)).lower()}", fatal=True)
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        faults.add(Mark(str(path), line), "found a byte that is not UTF-8, expected text in UTF-8", fatal=True)
        return None

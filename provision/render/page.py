"""Where output goes: text with secrets masked, in columns, coloured where there is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

STYLES = {"ok": "32", "changed": "33", "failed": "31;1", "skipped": "36", "dim": "2", "bold": "1", "+": "32", "-": "31"}


def _coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True)
class Cell:
    """A piece of a line in a style (a key of STYLES, or "" for none)."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Page:
    """mask: takes secrets out of a text."""

    mask: Callable[[str], str]
    out: TextIO
    colour: bool

    @classmethod
    def standard(cls, mask: Callable[[str], str]) -> Page:
        """Standard output."""
        return cls(mask, sys.stdout, _coloured())

    def line(self, text: str = "", style: str = "") -> None:
        """A line, or several."""
        for part in self.mask(text).split("\n"):
            self.out.write(self.paint(part, style) + "\n")
        self.out.flush()

    def paint(self, text: str, style: str) -> str:
        """A text in its style, where there is colour."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.colour and style and text else text

    def diff(self, lines: Sequence[str], indent: str = "      ") -> None:
        """Lines of a unified diff."""
        for line in lines:
            if not line.startswith(("---", "+++", "@@")):
                self.line(indent + line, line[0] if line[:1] in "+-" and line else "")

    def table(self, rows: Sequence[Sequence[Cell | str]], indent: str = "  ") -> None:
        """Rows in columns as wide as they need to be; numbers to the right."""
        cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
        widths = [max(len(self.mask(row[i].text)) for row in cells if i < len(row)) for i in range(_columns(cells))]
        for row in cells:
            parts = [self._fit(cell, widths[i], last=i == len(row) - 1) for i, cell in enumerate(row)]
            self.out.write((indent + "  ".join(parts)).rstrip() + "\n")
        self.out.flush()

    def _fit(self, cell: Cell, width: int, *, last: bool) -> str:
        text = self.mask(cell.text)
        number = text.replace(".", "").isdigit()
        padding = " " * (0 if last and not number else width - len(text))
        painted = self.paint(text, cell.style)
        return padding + painted if number else painted + padding


def _columns(rows: Sequence[Sequence[Cell]]) -> int:
    return max((len(row) for row in rows), default=0)

"""How commands print: a table for people, aligned text for pipes, JSON for programs."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta

import typer

from replicator.model import TableName

Row = Sequence[object]


def table(columns: Sequence[str], rows: Sequence[Row], *, empty: str) -> None:
    """Print rows under their columns; the sentence `empty` if there are none."""
    cells = [[text(cell) for cell in row] for row in rows]
    if not cells:
        typer.echo(empty)
    elif sys.stdout.isatty():
        _rich(columns, cells)
    else:
        typer.echo("\n".join(aligned([list(columns), *cells])))


def _rich(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415  (pipes need none of it)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = Table(*columns)
    for row in cells:
        shown.add_row(*(Text(cell) for cell in row))
    Console().print(shown)


@contextmanager
def progress(text: str, after: float = 0.0) -> Iterator[Callable[[str], None] | None]:
    """Shows on a terminal what is being done, if it takes longer than `after` seconds.

    It gives what changes the text; None where nobody looks on.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415

    status = Console(stderr=True).status(text)
    timer = threading.Timer(after, status.start)
    timer.start()
    try:
        yield status.update
    finally:
        timer.cancel()
        timer.join()
        status.stop()


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with their cells under each other, two spaces apart. Pure."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def text(cell: object) -> str:
    """A cell as people read it."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, Mapping):
        return " ".join(f"{key}={value}" for key, value in cell.items())
    if isinstance(cell, list | tuple):
        return ", ".join(text(item) for item in cell)
    return str(cell)


def dump(value: object) -> None:
    """Print as JSON: dataclasses as objects, times in ISO form, durations in seconds, tables by their quoted names."""
    typer.echo(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: object) -> object:
    match value:
        case TableName():
            return str(value)
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in fields(value)}
        case _:
            return str(value)

"""Host names that stand for several: `pg[01:10]`, `pg[a:c]`, `pg[1:9:2]`, and a port after a colon."""

from __future__ import annotations

import re
import string

RANGE = re.compile(r"\[([^\[\]]*)\]")
PORT = re.compile(r"([^:]+):(\d+)")


def expand(name: str) -> list[str]:
    """The names that a host entry stands for, in order. Raises ValueError with what was found and expected."""
    found = RANGE.search(name)
    if not found:
        if "[" in name or "]" in name:
            raise ValueError(f"found a lone bracket in {name!r}, expected a range such as pg[01:10] or pg[a:c]")
        return [name]
    before, after = name[: found.start()], name[found.end() :]
    return [f"{before}{step}{rest}" for step in _steps(found[1], name) for rest in expand(after)]


def split_port(name: str) -> tuple[str, int | None]:
    """A host entry without and with its port: `db1:2222` is db1, 2222. A range's colons are not ports."""
    outside = RANGE.sub(lambda found: "x" * len(found[0]), name)
    match = PORT.fullmatch(outside)
    return (name[: match.end(1)], int(match[2])) if match else (name, None)


def _steps(inner: str, name: str) -> list[str]:
    parts = inner.split(":")
    expected = "expected a range such as [01:10], [a:c] or [1:9:2]"
    if len(parts) not in (2, 3) or not parts[0] or not parts[1]:
        raise ValueError(f"found [{inner}] in {name!r}, {expected}")
    start, end = parts[0], parts[1]
    if len(parts) == 3 and not (parts[2].isdigit() and int(parts[2]) > 0):
        raise ValueError(f"found the step {parts[2]!r} in {name!r}, expected a whole number above 0")
    step = int(parts[2]) if len(parts) == 3 else 1
    if start.isdigit() and end.isdigit():
        steps = _numbers(start, end, step, name)
    elif len(start) == len(end) == 1 and {start, end} <= set(string.ascii_letters):
        steps = _letters(start, end, step)
    else:
        raise ValueError(f"found [{inner}] in {name!r}, {expected}")
    if not steps:
        raise ValueError(f"found [{inner}] in {name!r}, which runs backwards; {expected}")
    return steps


def _numbers(start: str, end: str, step: int, name: str) -> list[str]:
    width = len(start) if start.startswith("0") else 0
    if width and len(end) != width:
        raise ValueError(f"found [{start}:{end}] in {name!r}, expected both ends with as many digits")
    if int(end) - int(start) > 100_000:
        raise ValueError(f"found [{start}:{end}] in {name!r}, expected no more than 100000 hosts")
    return [str(number).zfill(width) for number in range(int(start), int(end) + 1, step)]


def _letters(start: str, end: str, step: int) -> list[str]:
    letters = string.ascii_letters
    return list(letters[letters.index(start) : letters.index(end) + 1 : step])

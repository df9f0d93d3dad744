"""Values that know where they were written: the tree that inventory files are read into, and the faults found in it.

Nothing here reads files: `yaml_file` and `ini_file` build such trees, `variables` merges them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from provision.errors import Fault, InputError

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """A place in a file. line: from 1, 0 for the file as a whole; path: the keys that lead there."""

    file: str
    line: int = 0
    path: Path_ = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def at(self, *steps: str | int) -> Mark:
        """The same line, seen as the place of something further down."""
        return replace(self, path=(*self.path, *steps))


@dataclass(frozen=True)
class Origin:
    """Where a variable was set, and for whom (`group nodes`, `host master`)."""

    scope: str
    mark: Mark

    def __str__(self) -> str:
        return f"{self.mark} ({self.scope})"


@dataclass(frozen=True)
class SecretSource:
    """Where a secret is to be had, not the secret: `!env NAME` or `!command "pass show x"`. `secrets` reads it."""

    kind: Literal["env", "command"]
    text: str
    mark: Mark = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"!{self.kind} {self.text}"


class Broken:
    """Stands for a value that could not be had; its fault has been noted, so nobody complains of it again."""


BROKEN = Broken()


@dataclass(frozen=True)
class Node:
    """A value and its place. value: a scalar, a SecretSource, a tuple of nodes or a dict of nodes.

    mark: its place; of a value in a mapping, that is where its key stands.
    """

    value: object
    mark: Mark

    @property
    def items(self) -> dict[str, Node]:
        """The entries of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def elements(self) -> tuple[Node, ...]:
        """The elements of a list; empty for anything else."""
        return self.value if isinstance(self.value, tuple) else ()

    def plain(self) -> object:
        """The value as ordinary Python objects."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, child in self.items.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.elements]
        return self.value

    def child(self, step: str | int) -> Node | None:
        """The value under a key or index, or None."""
        if isinstance(step, int):
            return self.elements[step] if step < len(self.elements) else None
        return self.items.get(step)

    @property
    def broken(self) -> bool:
        """Whether it is, or holds, a value that could not be had."""
        return self.value is BROKEN or any(child.broken for child in (*self.items.values(), *self.elements))

    @property
    def texts(self) -> tuple[tuple[str, Mark], ...]:
        """The texts in a list, or the one text that stands for such a list; anything else is left out."""
        parts = self.elements or (self,)
        return tuple((part.value, part.mark) for part in parts if isinstance(part.value, str))

    def text(self, *path: str | int) -> str | None:
        """The text at a path, or None."""
        found = self.find(*path)
        return found.value if found and isinstance(found.value, str) else None

    def entries(self, *path: str | int) -> dict[str, Node]:
        """The entries of the mapping at a path; empty when there is none."""
        found = self.find(*path)
        return found.items if found else {}

    def find(self, *path: str | int) -> Node | None:
        """The value at a path, or None."""
        node: Node | None = self
        for step in path:
            node = node.child(step) if node else None
        return node

    def place(self, *path: str | int) -> Mark:
        """Where the value at a path stands; of one that is missing, where it would belong."""
        node = self
        for position, step in enumerate(path):
            deeper = node.child(step)
            if deeper is None:
                return node.mark.at(*(step for step in path[position:] if isinstance(step, str)))
            node = deeper
        return node.mark


def wrap(value: object, mark: Mark) -> Node:
    """A plain value as a tree that stands, all of it, in one place."""
    if isinstance(value, dict):
        return Node({str(key): wrap(child, mark.at(str(key))) for key, child in value.items()}, mark)
    if isinstance(value, list | tuple):
        return Node(tuple(wrap(child, mark.at(index)) for index, child in enumerate(value)), mark)
    return Node(value, mark)


def dotted(path: Sequence[str | int]) -> str:
    """A path as shown to people: `all.vars.postgresql.access[0].user`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def shown(value: object) -> str:
    """A value as messages quote it. Only for values that are no secrets."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None else str(value)


def suggestion(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`did you mean 'x'?` when something known is much like the word, else nothing."""
    guess = nearest(word, known, cutoff)
    return f"did you mean {guess!r}?" if guess else ""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word that is most like another, or that alone begins with it; or nothing."""
    names = list(known)
    longer = [name for name in names if len(word) >= 3 and name.startswith(word)]
    similar = difflib.get_close_matches(word, names, n=1, cutoff=cutoff)
    return similar[0] if similar else longer[0] if len(longer) == 1 else ""


def known(word: str, names: Iterable[str]) -> str:
    """What could have been meant: the one like it, else all that there is (if that is a readable number)."""
    choice = sorted(names)
    if guess := suggestion(word, choice):
        return guess
    return "expected " + (f"one of {', '.join(choice)}" if 0 < len(choice) <= 12 else "a known one")


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

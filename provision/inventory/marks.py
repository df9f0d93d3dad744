"""Values that know where they were written: the tree that inventory files are read into.

Nothing here reads files: `yaml_file` and `ini_file` build such trees, `variables` merges them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Steps = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""


@dataclass(frozen=True)
class Mark:
    """A place in a file. line: from 1, 0 for the file as a whole; path: the keys that lead there."""

    file: str
    line: int = 0
    path: Steps = ()

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
    """Where a secret is to be had, not the secret: `!env NAME`, `!command "pass show x"`, `!secret NAME`, `!vault`.

    `provision.secrets` reads it. text: the name or the command line; what Ansible Vault has encrypted; `given`: the
    secret itself, from a file that was encrypted as a whole.
    """

    kind: Literal["env", "command", "secret", "vault", "given"]
    text: str
    mark: Mark = field(compare=False, repr=False)

    def __str__(self) -> str:
        return "!vault" if self.kind in ("vault", "given") else f"!{self.kind} {self.text}"

    def __repr__(self) -> str:
        return f"<{self}>"


class Broken:
    """Stands for a value that could not be had; its fault has been noted, so nobody complains of it again."""


BROKEN = Broken()


class Unread(Broken):
    """A value that pgherd cannot read: a fault where pgherd needs it, nobody's business elsewhere."""

    def __init__(self, why: str) -> None:
        self.why = why


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
        return isinstance(self.value, Broken) or any(child.broken for child in (*self.items.values(), *self.elements))

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

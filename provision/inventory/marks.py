"""Values that know where they were written: the tree that inventory files are read into.

Nothing here reads files; `yaml_file` and `ini_file` build such trees, `variables` merges them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Mark:
    """A line of a file, counted from 1; 0 stands for the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class SecretSource:
    """Where a secret is to be had, not the secret: `!env NAME` or `!command "pass show x"`. `secrets` reads it."""

    kind: Literal["env", "command"]
    text: str
    mark: Mark = field(compare=False)

    def __str__(self) -> str:
        return f"!{self.kind} {self.text}"


Scalar = object
"""None, bool, int, float, str, a date, or a SecretSource."""


@dataclass(frozen=True)
class Node:
    """A value and its place. key: where the mapping key of this value stands, when it has one."""

    value: Scalar | tuple[Node, ...] | dict[str, Node]
    mark: Mark
    key: Mark | None = None

    @property
    def place(self) -> Mark:
        """Where to send the reader: to the key if there is one, else to the value."""
        return self.key or self.mark

    @property
    def items(self) -> dict[str, Node]:
        """The entries of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> object:
        """The value as ordinary Python objects."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.value]
        return self.value

    def find(self, path: Sequence[str | int]) -> Node | None:
        """The value at a path of keys and indexes, or None."""
        node: Node | None = self
        for step in path:
            node = node.child(step) if node else None
        return node

    def child(self, step: str | int) -> Node | None:
        """The value under a key or index, or None."""
        if isinstance(self.value, dict):
            return self.value.get(str(step))
        if isinstance(self.value, tuple) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def nearest(self, path: Sequence[str | int]) -> Node:
        """The value at a path, or the deepest one on the way that exists."""
        node = self
        for step in path:
            deeper = node.child(step)
            if deeper is None:
                return node
            node = deeper
        return node


def dotted(path: Sequence[str | int]) -> str:
    """A path as shown to people: `all.vars.postgresql.access[0].user`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def mapping(items: Mapping[str, Node], mark: Mark) -> Node:
    """A mapping node."""
    return Node(dict(items), mark)

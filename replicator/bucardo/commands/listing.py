"""`bucardo_ctl list`: what is known, by type and name; `-v` shows groups and syncs too, `-vv` every column."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from replicator.bucardo import nouns
from replicator.bucardo.nouns import LISTED
from replicator.bucardo.session import Failed, Session

T = TypeVar("T")

USAGE = f"""\
Usage: list <type> [options]
Shows information about items in the internal Bucardo database.
The type is one of: {LISTED}
For more information, run: bucardo_ctl help list <type>"""

MODULES = {"sequence": "table"}


def run(session: Session) -> None:
    """List. Exit code 1 when there is nothing to show."""
    if not session.line.words:
        print(USAGE)
        raise Failed(1)
    noun, words = nouns.needed("list", session.line.words)
    module = importlib.import_module(f"replicator.bucardo.commands.list_{MODULES.get(noun, noun)}")
    show: Callable[[Session, str, Sequence[str]], Iterable[str]] = module.show
    lines = list(show(session, noun, words))
    if not lines:
        print(f"There are no{' matching' if words else ''} entries in the '{nouns.ENTRIES[noun]}' table.")
        raise Failed(1)
    print("\n".join(lines))


def matching(things: Iterable[T], words: Sequence[str], *names: Callable[[T], str]) -> list[T]:
    """The things that one of the words means, by any of their names; all when there are no words. Pure."""
    return [
        thing
        for thing in things
        if not words or any(nouns.fits(word, [name(thing) for name in names]) for word in words)
    ]


def columns(values: Mapping[str, object]) -> list[str]:
    """A thing's columns, a line each: what -vv adds."""
    return [f"    {key:<20} = {'NULL' if value is None else value}" for key, value in sorted(values.items())]


def width(texts: Iterable[str]) -> int:
    """The width of a column."""
    return max((len(text) for text in texts), default=0)

"""How faults speak: values as they are quoted, paths as they are shown, what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


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

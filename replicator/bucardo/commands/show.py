"""`bucardo_ctl show`, `set` and `config`: the settings of Bucardo 4.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from replicator.bucardo import nouns
from replicator.bucardo.declaring import converge
from replicator.bucardo.session import Session
from replicator.errors import UsageError
from replicator.habits import SETTINGS, Habits, checked


def run(session: Session) -> None:
    """Show or set. Raises UsageError before anything is set, when one of the settings cannot be."""
    line = session.line
    words = list(line.words)
    verb = line.verb
    if verb == "config" and words and words[0].lower() in ("show", "set"):
        verb = words.pop(0).lower()
    if verb != "show" and line.pairs:
        _set(session, line.pairs)
    elif verb != "set":
        _show(session, words)
    else:
        raise UsageError("Usage: set setting=value [setting=value ...]")


def _show(session: Session, words: list[str]) -> None:
    wanted = [word for word in words if word.lower() != "config"] or ["all"]
    names = [name for name in SETTINGS if any(_fits(word, name) for word in wanted)]
    if not names:
        raise UsageError(f"No setting is called {', '.join(wanted)}. See `bucardo_ctl show all`.")
    print("\n".join(shown(session.habits, names, idle=bool(session.line.verbosity))))


def _fits(word: str, name: str) -> bool:
    lower = word.lower()
    return lower == "all" or nouns.fits(lower, [name]) or (not nouns.is_pattern(lower) and lower in name)


def shown(habits: Habits, names: list[str], *, idle: bool = False) -> list[str]:
    """Sorted `name = value` lines, the equals signs below each other. idle: say what each does. Pure."""
    width = max(len(name) for name in names)
    lines = [f"{name:<{width}} = {habits[name]}" for name in sorted(names)]
    if not idle:
        return lines
    return [
        f"{line}  # {SETTINGS[name].effect or 'no effect here'}"
        for line, name in zip(lines, sorted(names), strict=True)
    ]


def _set(session: Session, pairs: Mapping[str, str]) -> None:
    if session.line.words and session.line.verb == "set":
        raise UsageError(f"Not a setting: {session.line.words[0]}. Usage: set setting=value [setting=value ...]")
    checks = {checked(name, value): value for name, value in pairs.items()}
    for name, value in checks.items():
        session.catalog.set_bucardo(name, value)
        session.say(f'Set "{name}" to "{value}"')
        if name == "autosync_ddl":
            current = session.topology
            syncs = {sync.name: replace(sync, ddl=session.habits.ddl) for sync in current.syncs.values()}
            converge(session, replace(current, syncs=syncs))
        if not SETTINGS[name].effect:
            session.say(f"Note: {name} is kept and shown; it has no effect here")

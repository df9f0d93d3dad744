"""`bucardo_ctl remove` (or `delete`): forgets databases, groups, herds, tables, sequences and syncs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace

from replicator.bucardo import goats, nouns
from replicator.bucardo.declaring import TITLES, converge, existing, gone, things
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.session import Session
from replicator.catalog import Goat
from replicator.cli.tables import reduced
from replicator.errors import UsageError


def run(session: Session) -> None:
    """Remove. Raises NotFound, and UsageError for what is in use, nothing being removed then."""
    noun, words = nouns.needed(session.line.verb, session.line.words)
    names = duplicate_free(words)
    if not names:
        raise UsageError(f"Usage: {session.line.verb} {noun} NAME ...")
    if session.line.pairs.keys() - {"db"}:
        raise UsageError(f'Unknown option for {session.line.verb}: "{sorted(session.line.pairs)[0]}"')
    if noun in ("table", "sequence"):
        _remove_goats(session, noun, names)
    elif noun == "code":
        remove_code: Callable[[Session, tuple[str, ...]], None] = importlib.import_module(
            "replicator.bucardo.commands.remove_code"
        ).remove
        remove_code(session, names)
    else:
        _remove(session, noun, _meant(session, noun, names))


def _meant(session: Session, noun: str, words: tuple[str, ...]) -> list[str]:
    known = things(session.topology, noun)
    names: dict[str, None] = {}
    for word in words:
        if nouns.is_pattern(word):
            names.update(dict.fromkeys(name for name in sorted(known) if nouns.fits(word, [name])))
        else:
            existing(session.topology, noun, word)
            names[word] = None
    return list(names)


def _remove(session: Session, noun: str, names: list[str]) -> None:
    current = session.topology
    if noun == "sync":
        for name in names:
            if not current.syncs[name].paused and session.daemon_runs():
                raise UsageError(f'Cannot remove active sync "{name}": please deactivate it first')
    converge(session, gone(current, noun, names))
    for name in names:
        session.catalog.forget_habits(noun, name)
        session.say(f'Removed {TITLES[noun]} "{name}"')
        if noun == "sync":
            session.say("Note: its table triggers are removed too, unless it was said above that a server is down")


def _remove_goats(session: Session, kind: str, words: tuple[str, ...]) -> None:
    db = session.line.given("db")
    found = goats.known(session, words, kind, db)
    desired = session.topology
    for name, herd in desired.herds.items():
        mine = [goat.table for goat in found if goat.db == herd.database]
        desired = replace(desired, herds={**desired.herds, name: reduced(herd, kind, mine, strict=False)})
    converge(session, desired)
    for goat in found:
        _forget(session, goat)


def _forget(session: Session, goat: Goat) -> None:
    session.catalog.remove_goat(goat.db, goat.table)
    session.catalog.forget_habits(goat.kind, goats.habit_name(goat))
    session.say(f'Removed {goat.kind} "{goats.spelt(goat)}"')

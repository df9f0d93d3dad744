"""`bucardo_ctl update`: hands on to the module of the noun."""

from __future__ import annotations

import importlib

from replicator.bucardo import nouns
from replicator.bucardo.session import Session
from replicator.errors import UsageError

MODULES = {"sequence": "table"}


def run(session: Session) -> None:
    """Change something."""
    noun, rest = nouns.needed("update", session.line.words)
    if not rest:
        raise UsageError(f"Usage: update {noun} NAME name=value ...")
    importlib.import_module(f"replicator.bucardo.commands.update_{MODULES.get(noun, noun)}").update(session, noun, rest)


def say_changes(session: Session, title: str, name: str, before: dict[str, object], after: dict[str, object]) -> None:
    """Tell what has changed, a line for each column."""
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    if not changed:
        session.say(f'No change needed for {title} "{name}"')
        return
    session.say(f'Changes made to {title} "{name}":')
    for key, value in sorted(changed.items()):
        session.say(f' * {key} : changed from "{_text(before.get(key))}" to "{_text(value)}"')


def _text(value: object) -> str:
    return "NULL" if value is None else str(value)

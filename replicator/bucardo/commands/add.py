"""`bucardo_ctl add`: hands on to the module of the noun."""

from __future__ import annotations

import importlib

from replicator.bucardo import nouns
from replicator.bucardo.commands import add_all
from replicator.bucardo.session import Session
from replicator.errors import UsageError

MODULES = {"sequence": "table"}


def run(session: Session) -> None:
    """Add something."""
    words = session.line.words
    if words and words[0].lower() == "all":
        add_all.add(session, words[1:])
        return
    noun, rest = nouns.needed("add", words)
    if not rest:
        raise UsageError(f"Usage: add {noun} NAME [name=value ...]. See `bucardo_ctl help add {noun}`.")
    importlib.import_module(f"replicator.bucardo.commands.add_{MODULES.get(noun, noun)}").add(session, noun, rest)

"""`bucardo_ctl update herd H add|remove TABLE ...`."""

from __future__ import annotations

from replicator.bucardo import herds
from replicator.bucardo.declaring import existing
from replicator.bucardo.session import Session
from replicator.errors import UsageError


def update(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Let tables join or leave a herd."""
    if len(words) < 3 or words[1].lower() not in ("add", "remove") or session.line.pairs:
        raise UsageError("Usage: update herd NAME add|remove TABLE ...")
    name, verb, *rest = words
    herds.change(session, existing(session.topology, "herd", name), verb, rest, f'herd "{name}"')

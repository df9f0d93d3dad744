"""Syncs as commands name them: by name, by pattern, all of a type; and the seconds that may stand behind them."""

from __future__ import annotations

from collections.abc import Sequence

from replicator.bucardo import nouns
from replicator.bucardo.grammar import duplicate_free
from replicator.bucardo.session import Session
from replicator.errors import NotFound
from replicator.model import Sync, SyncType

GROUPS = {
    **dict.fromkeys(("copy", "fullcopy"), SyncType.FULLCOPY),
    **dict.fromkeys(("delta", "pushdelta"), SyncType.PUSHDELTA),
    "swap": SyncType.SWAP,
}


def with_seconds(words: Sequence[str]) -> tuple[tuple[str, ...], float | None]:
    """The words, and the number behind them if there is one. Pure."""
    if len(words) > 1 and words[-1].replace(".", "", 1).isdigit():
        return tuple(words[:-1]), float(words[-1])
    return tuple(words), None


def syncs(session: Session, words: Sequence[str]) -> list[Sync]:
    """The syncs that words mean. Raises NotFound for all that mean none."""
    return chosen(list(session.topology.syncs.values()), duplicate_free(words))


def chosen(known: Sequence[Sync], words: Sequence[str]) -> list[Sync]:
    """The syncs that words mean: names, patterns, or `all`, which the words behind it narrow. Pure."""
    if words and words[0].lower() == "all":
        return _all(known, words[1:])
    found: dict[str, Sync] = {}
    lost = []
    for word in words:
        meant = [sync for sync in known if nouns.fits(word, [sync.name])]
        lost += [] if meant else [word]
        found.update({sync.name: sync for sync in meant})
    if lost:
        raise NotFound("\n".join(f'No such sync: "{word}"' for word in lost))
    return list(found.values())


def _all(known: Sequence[Sync], words: Sequence[str]) -> list[Sync]:
    kinds = {GROUPS[word.lower()] for word in words if word.lower() in GROUPS}
    if strange := [word for word in words if word.lower() not in (*GROUPS, "active", "syncs", "sync")]:
        raise NotFound(f'Not understood behind "all": "{strange[0]}" (copy, delta, swap or active expected)')
    only_active = any(word.lower() == "active" for word in words)
    return [s for s in known if (not kinds or s.type in kinds) and not (only_active and s.paused)]

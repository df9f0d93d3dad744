"""`bucardo_ctl list customcode`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.bucardo.session import Session


def show(_session: Session, _noun: str, _words: Sequence[str]) -> Iterator[str]:
    """A line for each piece of custom code."""
    return iter(())

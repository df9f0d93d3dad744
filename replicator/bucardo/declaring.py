"""How commands change what is declared: by the topology's own way, which checks all before it changes anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from replicator import topology
from replicator.bucardo.session import Session, missing, taken
from replicator.cli.objects import with_value, without
from replicator.errors import UsageError
from replicator.model import NAME, Database, DbGroup, Herd, Sync, Topology

Declared = Database | DbGroup | Herd | Sync

WORDS = {"db": "database", "dbgroup": "dbgroup", "herd": "herd", "sync": "sync"}
"""Bucardo's nouns and the topology's."""

TITLES = {"db": "database", "dbgroup": "database group", "herd": "herd", "sync": "sync"}
"""Bucardo's nouns as its messages say them."""


def converge(session: Session, desired: Topology) -> None:
    """Make it so. Raises InvalidTopology with all that is wrong, nothing being changed then."""
    if plan := topology.changes(session.topology, desired):
        topology.apply(session.catalog, session.connector, plan, lambda text: _report(session, text))


def _report(session: Session, text: str) -> None:
    if session.line.verbosity > 1 or "still there" in text:
        print(text, file=sys.stderr, flush=True)


def things(current: Topology, noun: str) -> Mapping[str, Any]:
    """What is declared of a noun, by name."""
    found: Mapping[str, Any] = getattr(current, topology.NOUNS[WORDS[noun]])
    return found


def existing(current: Topology, noun: str, name: str) -> Any:
    """The object of that name. Raises NotFound."""
    found = things(current, noun).get(name)
    if found is None:
        raise missing(TITLES[noun], name)
    return found


def new(current: Topology, noun: str, value: Declared) -> Topology:
    """The topology with one thing more. Raises AlreadyExists, UsageError for a name that cannot be."""
    good_name(TITLES[noun], value.name)
    if value.name in things(current, noun):
        raise taken(TITLES[noun], value.name)
    return with_value(current, value)


def good_name(title: str, name: str) -> None:
    """Raise UsageError unless it is a letter, then letters, digits or underscores."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f'Invalid name for a {title}: "{name}". It must begin with a letter, and letters, digits and underscores'
            " follow (no dash)"
        )


def reject_unknown(pairs: Mapping[str, str], known: Iterable[str], noun: str) -> None:
    """Raise UsageError for a `name=value` that a command does not take."""
    if unknown := sorted(pairs.keys() - set(known)):
        raise UsageError(f'Unknown option for a {noun}: "{unknown[0]}". See `bucardo_ctl help add {noun}`.')


def gone(current: Topology, noun: str, names: list[str]) -> Topology:
    """The topology without some things. Raises NotFound, and UsageError naming what still uses them."""
    for name in names:
        existing(current, noun, name)
    return without(current, WORDS[noun], names)


__all__ = ["TITLES", "converge", "existing", "gone", "good_name", "new", "reject_unknown", "things", "with_value"]

"""What `add`, `update` and `remove` share: they make a desired topology of the current one, and converge to it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, TypeVar

import typer

from replicator import topology
from replicator.cli.session import Session
from replicator.errors import AlreadyExists, NotFound, UsageError
from replicator.model import Database, DbGroup, Herd, Sync, Topology
from replicator.topology import NOUNS, Kind, TopologyChange

T = TypeVar("T", Database, DbGroup, Herd, Sync)
WORDS = {"db": "database"}
DONE = {Kind.CREATE: "Added", Kind.UPDATE: "Updated", Kind.DELETE: "Removed"}


def tell(sentence: str) -> None:
    """Say on stderr what is going on."""
    print(sentence, file=sys.stderr, flush=True)


def named(things: Any, noun: str, name: str) -> Any:
    """The object of that name. Raises NotFound naming those that there are."""
    if name not in things:
        known = ", ".join(sorted(things)) or "none"
        raise NotFound(f"no {noun} is called {name!r}; known: {known}.")
    return things[name]


def with_new(current: Topology, value: Database | DbGroup | Herd | Sync) -> Topology:
    """The topology with one thing more. Raises AlreadyExists."""
    noun = type(value).__name__.lower()
    if value.name in getattr(current, NOUNS[noun]):
        raise AlreadyExists(f"{noun} {value.name} exists already.", hint="Use `replicator update` to change it.")
    return with_value(current, value)


def with_value(current: Topology, value: Database | DbGroup | Herd | Sync) -> Topology:
    """The topology with that thing in place of its namesake."""
    field = NOUNS[type(value).__name__.lower()]
    return replace(current, **{field: {**getattr(current, field), value.name: value}})


def without(current: Topology, noun: str, names: list[str]) -> Topology:
    """The topology without some things. Raises NotFound, and UsageError naming what still uses them."""
    field = NOUNS[noun]
    things = {name: named(getattr(current, field), noun, name) for name in names}
    rest = {name: value for name, value in getattr(current, field).items() if name not in things}
    desired = replace(current, **{field: rest})
    problems = [
        f"{noun} {name} is still used by {', '.join(users)}; remove {'those' if len(users) > 1 else 'that'} first."
        for name in things
        if (users := topology.users(current, noun, name))
    ]
    if problems:
        raise UsageError("\n".join(problems))
    return desired


def converge(session: Session, desired: Topology) -> list[TopologyChange]:
    """Check and make the difference, and say what was done. Raises InvalidTopology with all that is wrong."""
    plan = topology.changes(session.catalog.topology(), desired)
    if not plan:
        typer.echo("Nothing to change: it is so already.")
        return []
    topology.apply(session.catalog, session.connector, plan, tell)
    for change in plan:
        typer.echo(f"{DONE[change.kind]} {change.object}.")
        if change.kind is Kind.UPDATE:
            typer.echo("\n".join(f"  {line}" for line in change.diff))
    return plan


def given(**values: object) -> dict[str, Any]:
    """The values that were given: those that are not None."""
    return {name: value for name, value in values.items() if value is not None}

"""Converges the declared topology: what differs between the catalog and what is desired, and making it so.

The same way for a command that adds one table and for a whole inventory: `plan` compares, `apply` checks with
`validate`, writes the catalog in one transaction, and then cleans up what removed syncs and tables left on nodes.
Installing what new ones need, and their first copies, is the controllers' work: they follow the catalog's revision.
What cannot be cleaned up, because a node is down, stays noted and is part of every later plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from replicator import validate
from replicator.catalog import Catalog
from replicator.catalog.records import UNASKED
from replicator.errors import InvalidTopology, Unreachable
from replicator.failpoint import failpoint
from replicator.model import Link, SyncType, Topology
from replicator.postgres import Connector
from replicator.topology import leaving
from replicator.topology.changes import (
    NOUNS,
    Kind,
    TopologyChange,
    as_change,
    captured,
    changed,
    changes,
    leftovers,
    users,
)
from replicator.topology.cleaning import PATIENCE, clean, wait_until_unused

__all__ = ["NOUNS", "Kind", "TopologyChange", "apply", "captured", "changes", "clean", "plan", "unfinished", "users"]

Report = Callable[[str], None]


def plan(catalog: Catalog, desired: Topology) -> list[TopologyChange]:
    """What `apply` would do so that the catalog declares `desired` and nothing else, in order."""
    found = changes(catalog.topology(), desired)
    return [*found, *(as_change(leftover) for leftover in catalog.leftovers())]


def apply(
    catalog: Catalog,
    connector: Connector,
    plan_of_changes: Sequence[TopologyChange],
    report: Report = lambda _: None,
    *,
    force: bool = False,
) -> None:
    """Make a plan so. Raises InvalidTopology (with all problems) and then has changed nothing.

    UnsentChanges likewise, unless `force`: a master leaves a swap with changes that the others do not have.
    Nodes that cannot be cleaned up are reported, a sentence each, and left for the next time.
    """
    current = catalog.topology()
    desired = changed(current, plan_of_changes)
    current = _taken_back(catalog, current)
    leaving.refuse_role_changes(current, desired)
    departing = [] if force else leaving.departing(current, desired, connector.config.install)
    validate.check(desired, connector, validate.affected(current, desired), report)
    if _unclean(catalog, current, desired):
        clean(catalog, connector, report)
    _refuse(_unclean(catalog, current, desired))
    leaving.check(catalog, connector, departing, report, leaving.PATIENCE)
    if reborn := _reborn(current, desired):
        rest = _without(current, reborn)
        _write(catalog, current, rest)
        clean(catalog, connector, report)
        _refuse(_unclean(catalog, rest, desired))
        current = rest
    if departing:
        current = _let_go(catalog, connector, (current, desired), departing, report)
    _write(catalog, current, desired)
    clean(catalog, connector, report)


def _let_go(
    catalog: Catalog, connector: Connector, step: tuple[Topology, Topology], links: Sequence[Link], report: Report
) -> Topology:
    """Declare all of a step but that databases of masters that leave go; what is declared then.

    Once nobody sends any more it is seen whether something was written there last; then all is taken back.
    """
    current, desired = step
    gone = {link.source.name: link.source for link in links if link.source.name not in desired.databases}
    rest = replace(desired, databases={**desired.databases, **gone})
    before = {leftover.id for leftover in catalog.leftovers()}
    failpoint("leave.before-step")
    _write(catalog, current, rest, held=True)
    failpoint("leave.after-step")
    deadline = time.monotonic() + PATIENCE
    try:
        for sync, node in sorted({(link.sync.name, link.source.name) for link in links}):
            wait_until_unused(catalog, sync, node, deadline)
        leaving.check(catalog, connector, links, report, 0.0)
    except BaseException:
        with catalog.declaring():
            for leftover in catalog.leftovers():
                if leftover.id not in before:
                    catalog.remove_leftover(leftover.id)
            _write(catalog, rest, current)
        raise
    failpoint("leave.before-release")
    with catalog.declaring():
        for leftover in catalog.leftovers():
            if leftover.held:
                catalog.leftover_failed(leftover.id, None)
    failpoint("leave.after-release")
    return rest


def unfinished(catalog: Catalog, database: str) -> bool:
    """Whether a master was being let go by a command that did not come to its end."""
    return any(database == name for _, name in _unfinished(catalog))


def _unfinished(catalog: Catalog) -> set[tuple[str, str]]:
    """The syncs from which masters were being let go, and these."""
    return {(left.sync, left.source or left.database.name) for left in catalog.leftovers() if left.held}


def _taken_back(catalog: Catalog, current: Topology) -> Topology:
    """The topology with masters in it that were being let go by a command that was killed: they are asked anew.

    They come back as targets of their own, whatever dbgroup they were in.
    """
    back = current
    for name, node in sorted(_unfinished(catalog)):
        sync = back.syncs.get(name)
        if sync and node in back.databases and node not in {member.name for member in back.members(sync)}:
            back = replace(back, syncs={**back.syncs, name: replace(sync, targets=(*sync.targets, node))})
    if back != current:
        with catalog.declaring():
            for leftover in catalog.leftovers():
                if leftover.held:
                    catalog.remove_leftover(leftover.id)
            _write(catalog, current, back)
    return back


def _reborn(current: Topology, desired: Topology) -> set[str]:
    """Syncs that keep their name and nothing else: their positions mean something else from now on."""
    return {
        name
        for name, sync in current.syncs.items()
        if name in desired.syncs
        and desired.syncs[name].type is not sync.type
        and SyncType.FULLCOPY in (desired.syncs[name].type, sync.type)
    }


def _without(topology: Topology, names: set[str]) -> Topology:
    return replace(topology, syncs={name: sync for name, sync in topology.syncs.items() if name not in names})


def _unclean(catalog: Catalog, current: Topology, desired: Topology) -> list[str]:
    """Links that are to be declared anew while their former positions are still to be forgotten on a node.

    Forgetting would then hit the new positions, and not forgetting would go on from a place whose changes are gone.
    """
    stale = {(left.sync, left.source, left.database.name): left.error for left in catalog.leftovers() if left.source}
    return [
        f"sync {name}: what it left on {target.name} when it was removed is still there"
        f" ({stale[link] or 'not tried yet'}); mend that, or give the sync another name"
        for name in sorted(validate.affected(current, desired))
        for source, target in desired.pairs(desired.syncs[name])
        if (link := (name, source.name, target.name)) in stale
    ]


def _refuse(problems: list[str]) -> None:
    if problems:
        error = InvalidTopology(problems)
        error.exit_code = Unreachable.exit_code
        raise error


def _write(catalog: Catalog, current: Topology, desired: Topology, *, held: bool = False) -> None:
    """Store the step and what it leaves, unless the catalog has moved away from where the step begins.

    held: what it leaves must stay for now.
    """
    verbs = {Kind.CREATE: "add", Kind.UPDATE: "update", Kind.DELETE: "remove"}
    with catalog.declaring():
        if changes(catalog.topology(), current):
            raise InvalidTopology("the topology was changed meanwhile by someone else.", hint="Plan again.")
        known = {leftover.id for leftover in catalog.leftovers()}
        for leftover in leftovers(current, desired):
            catalog.note_leftover(leftover)
        for leftover in catalog.leftovers() if held else ():
            if leftover.id not in known:
                catalog.leftover_failed(leftover.id, UNASKED)
        for change in changes(current, desired):
            method = getattr(catalog, f"{verbs[change.kind]}_{change.noun}")
            method(change.name if change.after is None else change.after)

"""`replicator kick`: have syncs run now, and on request wait until they have."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from replicator.cli import output
from replicator.cli.session import Session
from replicator.cli.syncs import Syncs, named
from replicator.errors import DaemonNotRunning, ReplicatorError, UsageError
from replicator.model import Link, Sync

POLL = 0.2
UNLIMITED = "inf"

Wait = Annotated[
    float | None,
    typer.Option(metavar="[SECONDS]", help="Wait until it is done; no longer than this, if a time is given."),
]


class WaitCommand(TyperCommand):
    """A command whose `--wait` may stand without a value, which the parser by itself cannot do."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare `--wait` its value."""
        return super().parse_args(ctx, spell_out(args))


def spell_out(args: list[str]) -> list[str]:
    """The arguments with a value behind every `--wait`. Sync names never begin with a digit. Pure."""
    spelt: list[str] = []
    for number, argument in enumerate(args):
        spelt.append(argument)
        following = args[number + 1 : number + 2]
        if argument == "--wait" and not (following and re.match(r"[\d.]", following[0])):
            spelt.append(UNLIMITED)
    return spelt


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("kick", cls=WaitCommand)(kick)


def kick(context: typer.Context, syncs: Syncs, wait: Wait = None) -> None:
    """Have syncs run now. With --wait: 0 when all have run, 1 when one failed or the time is over."""
    session: Session = context.obj
    chosen = named(session, syncs)
    _check(session, chosen)
    kicks = {sync.name: session.catalog.kick(sync.name) for sync in chosen}
    for name in kicks:
        typer.echo(f"Kicked sync {name}.")
    if wait is not None:
        _await(session, chosen, kicks, wait)


def _check(session: Session, chosen: list[Sync]) -> None:
    from replicator import daemon  # noqa: PLC0415

    for sync in chosen:
        if sync.paused:
            raise UsageError(f"sync {sync.name} is paused.", hint=f"`replicator resume {sync.name}` lets it run.")
    if not session.catalog.locked("master") and not daemon.running(session.config):
        raise DaemonNotRunning(hint="`replicator start` starts it; nothing was kicked.")


def _await(session: Session, chosen: list[Sync], kicks: dict[str, int], seconds: float) -> None:
    """Wait until each link has answered. Raises ReplicatorError when one has failed, or the time is over."""
    topology = session.catalog.topology()
    links = {s.name: [link for link in topology.links(session.config.install, s) if link.active] for s in chosen}
    deadline = time.monotonic() + seconds
    began = time.monotonic()
    with output.progress("waiting") as show:
        while missing := _missing(session, links, kicks):
            if time.monotonic() > deadline:
                raise ReplicatorError(f"not done within {seconds:g} s: {_listed(missing)}.")
            _check_hope(session, missing)
            if show:
                show(_doing(session, missing))
            time.sleep(POLL)
    typer.echo(f"Done in {time.monotonic() - began:.1f} s.")


def _check_hope(session: Session, missing: list[Link]) -> None:
    """Raise ReplicatorError when nobody is going to run what is missing."""
    if not session.catalog.locked("master"):
        raise DaemonNotRunning(f"the daemon has stopped; not done: {_listed(missing)}.")
    declared = session.catalog.topology().syncs
    gone = {link.sync.name for link in missing if link.sync.name not in declared or declared[link.sync.name].paused}
    if gone:
        raise ReplicatorError(f"paused or removed meanwhile: {', '.join(sorted(gone))}; not done: {_listed(missing)}.")


def _missing(session: Session, links: dict[str, list[Link]], kicks: dict[str, int]) -> list[Link]:
    """The links that have not answered. Raises ReplicatorError when one has answered that it failed."""
    missing, failures = [], []
    for name, some in links.items():
        results = {(result.source, result.target): result for result in session.catalog.kick_results(kicks[name])}
        for link in some:
            result = results.get((link.source.name, link.target.name))
            if result is None:
                missing.append(link)
            elif result.error is not None:
                failures.append(f"{link}: {result.error}")
    if failures:
        raise ReplicatorError("\n".join(failures))
    return missing


def _listed(links: list[Link]) -> str:
    return ", ".join(map(str, links))


def _doing(session: Session, missing: list[Link]) -> str:
    states = {(state.sync, state.source, state.target): state for state in session.catalog.states()}
    parts = []
    for link in missing:
        state = states.get((link.sync.name, link.source.name, link.target.name))
        parts.append(f"{link}: {(state.detail or state.state) if state else 'starting'}")
    return "; ".join(parts)

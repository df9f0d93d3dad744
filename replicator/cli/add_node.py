"""`replicator add-node`: bring a database into a sync or a dbgroup, and wait until it is filled and in step.

The daemon does the work. Whoever interrupts this command only stops watching it, and may watch on by giving it again.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from replicator import signals
from replicator.cli import output
from replicator.cli.objects import converge, tell
from replicator.cli.pause import running
from replicator.cli.session import Session
from replicator.errors import DaemonNotRunning, Interrupted, ReplicatorError, UsageError
from replicator.model import Link, Role, Sync
from replicator.status.arrival import Arrival, links_of, look
from replicator.topology.members import affected, with_node

POLL = 0.3
TELL_EVERY = 2.0
"""Seconds between lines of progress where there is no terminal."""

Place = Annotated[str, typer.Argument(metavar="SYNC|DBGROUP")]
Node = Annotated[str, typer.Argument(metavar="DATABASE", help="A declared database, by its nickname.")]
InRole = Annotated[Role | None, typer.Option(help="In a swap: source for a master (the default), target for a slave.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Declare it and leave; the daemon goes on by itself.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("add-node")(add_node)


def add_node(
    context: typer.Context, place: Place, database: Node, role: InRole = None, no_wait: NoWait = False
) -> None:
    """Bring a database into a sync or a dbgroup while all go on writing, and wait until it is in step.

    Interrupted, it only stops watching: the daemon goes on, and the same command watches again.
    """
    session: Session = context.obj
    current = session.catalog.topology()
    desired = with_node(current, place, database, role)
    if not no_wait:
        _check_hope(session, affected(current, place))
    began = time.monotonic()
    converge(session, desired)
    if no_wait:
        typer.echo(f"The daemon fills {database} when it runs; see `replicator status`.")
        return
    stop = signals.Stop()
    signals.install_handlers(stop)
    declared = session.catalog.topology()
    links = links_of(declared, session.config.install, affected(declared, place), declared.databases[database])
    arrived = _Watch(session, links, database, stop).until_in_step()
    rows = _rows_copied(session, links)
    typer.echo(f"{database} is in step: {rows} rows copied, {time.monotonic() - began:.1f} s.")
    for link in arrived.absent:
        typer.echo(f"Not yet with one that does not answer; the daemon goes on by itself: {link}")


def _check_hope(session: Session, syncs: list[Sync]) -> None:
    for sync in syncs:
        if sync.paused:
            raise UsageError(
                f"sync {sync.name} is paused.",
                hint=f"`replicator resume {sync.name}`, or --no-wait to declare it only.",
            )
    if not running(session):
        raise DaemonNotRunning(hint="`replicator start` starts it, or --no-wait declares the node only.")


def _rows_copied(session: Session, links: list[Link]) -> int:
    """The rows of the newest copy on each link that made one."""
    found: dict[tuple[str, str, str], int] = {}
    for sync in {link.sync.name for link in links}:
        for run in session.catalog.runs(sync, 1000):
            if run.copied:
                found.setdefault((sync, run.source, run.target), run.counts.rows)
    return sum(found.get((link.sync.name, link.source.name, link.target.name), 0) for link in links)


class _Watch:
    """Watches a database arrive."""

    def __init__(self, session: Session, links: list[Link], database: str, stop: signals.Stop) -> None:
        self._session, self._links, self._database, self._stop = session, links, database, stop
        self._revision = session.catalog.revision()
        self._filled_at: float | None = None
        self._told, self._told_at = "", 0.0

    def until_in_step(self) -> Arrival:
        """Wait for it. Raises Interrupted saying where it is, DaemonNotRunning, and what else a person must mend."""
        with output.progress("waiting") as show:
            while True:
                found = self._look()
                if found.in_step:
                    return found
                if found.stuck:
                    raise ReplicatorError(
                        f"{self._database} does not come into step: {found.stuck}",
                        hint="Mend that, and it goes on by itself; or take it out again: `replicator remove-node`.",
                    )
                if not self._session.catalog.locked("master"):
                    raise DaemonNotRunning(f"the daemon has stopped: {found.text}.", hint="`replicator start` goes on.")
                if show:
                    show(found.text)
                else:
                    self._tell(found.text)
                if self._stop.wait(POLL):
                    raise Interrupted(
                        f"no longer watched: {found.text}. The daemon goes on by itself; see `replicator status`, or"
                        " give the command again."
                    )

    def _look(self) -> Arrival:
        now = time.monotonic()
        since = now - self._filled_at if self._filled_at is not None else None
        found = look(self._session.catalog, self._session.connector, self._links, self._revision, since)
        if found.filled and self._filled_at is None:
            self._filled_at = now
            tell(f"{self._database} is filled")
        return found

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        if text != self._told and now - self._told_at > TELL_EVERY:
            self._told, self._told_at = text, now
            tell(text)

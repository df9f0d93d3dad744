"""`bucardo_ctl kick`: has syncs run now, and with a number behind them waits until they have."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from replicator.bucardo import naming
from replicator.bucardo.session import Failed, Session
from replicator.errors import DaemonNotRunning, UsageError
from replicator.model import Link, Sync

TIMED_OUT, KILLED = 1, 2
POLL = 0.1


def run(session: Session) -> None:
    """Kick. Exit code 1: the time is over; 2: a run failed. Raises UsageError for what cannot be kicked."""
    words, seconds = naming.with_seconds(session.line.words)
    if not words:
        raise UsageError("Usage: kick SYNC... [SECONDS]")
    chosen = naming.syncs(session, words)
    everything = words[0].lower() == "all"
    for sync in chosen:
        if sync.paused and not everything:
            raise UsageError(f'Cannot kick inactive sync "{sync.name}"')
    active = [sync for sync in chosen if not sync.paused]
    if not active:
        raise UsageError("There is no active sync to kick")
    if not session.daemon_runs():
        raise DaemonNotRunning("Bucardo is not running, nothing was kicked. See `bucardo_ctl start`.")
    tries = int(session.line.options.get("retry", "0")) + 1
    for left in reversed(range(tries)):
        code = _kick(session, active, seconds)
        if not code or not left:
            raise Failed(code)
        time.sleep(float(session.line.options.get("retrysleep", "0")))


def _kick(session: Session, syncs: Sequence[Sync], seconds: float | None) -> int:
    kicks = {sync.name: session.catalog.kick(sync.name) for sync in syncs}
    if seconds is None:
        for name in kicks:
            session.say(f"Kicked sync {name}")
        return 0
    return max(_await(session, sync, kicks[sync.name], seconds) for sync in syncs)


def _await(session: Session, sync: Sync, kick: int, seconds: float) -> int:
    """Wait until every target has answered, printing how it goes on one line; the exit code."""
    links = [link for link in session.topology.links(session.config.install, sync) if link.active]
    began = time.monotonic()
    done: dict[str, float] = {}
    ticks = sys.stdout.isatty() and not session.line.on("notimer")
    while True:
        failed = _answers(session, links, kick, done, time.monotonic() - began)
        text = _progress(sync.name, done, time.monotonic() - began)
        if failed:
            return _end(session, f"{text} KILLED!", KILLED, failed)
        if len(done) >= len({_target(link) for link in links}):
            return _end(session, f"{text} DONE!", 0)
        if (seconds and time.monotonic() - began > seconds) or not session.daemon_runs():
            return _end(session, f"{text} Timed out!", TIMED_OUT)
        if ticks:
            session.say(f"\r{text}", end="")
        time.sleep(POLL)


def _answers(session: Session, links: Sequence[Link], kick: int, done: dict[str, float], now: float) -> list[str]:
    """Note the targets that have answered in full; the errors of those that have failed."""
    results = {(result.source, result.target): result for result in session.catalog.kick_results(kick)}
    for target in {_target(link) for link in links} - done.keys():
        mine = [results.get((a.source.name, a.target.name)) for a in links if _target(a) == target]
        if all(result is not None and result.error is None for result in mine):
            done[target] = now
    return [f"{result.target}: {result.error}" for result in results.values() if result.error]


def _target(link: Link) -> str:
    """The database that a direction is shown under: in a swap both are the other master's."""
    return link.source.name if link.target.name == link.lead else link.target.name


def _progress(name: str, done: dict[str, float], seconds: float) -> str:
    targets = "".join(f" {target}({int(took)}s)" for target, took in done.items())
    return f"Kick {name}: [{int(seconds)} s]{targets}"


def _end(session: Session, text: str, code: int, errors: Sequence[str] = ()) -> int:
    session.say(f"\r{text}" if sys.stdout.isatty() else text)
    for error in errors:
        print(error, file=sys.stderr)
    return code

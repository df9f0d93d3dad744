"""Starting and stopping as Bucardo does it: with a stop file, a reason file, and a start that replaces what runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from replicator import daemon
from replicator.bucardo.session import Session
from replicator.errors import ConfigError, DaemonNotRunning

SWITCHES = ("debugfile", "debugfilesep", "debugsyslog", "cleandebugs", "sendmail")
VALUES = ("debugdir", "debugname", "extraname")


def stop(session: Session, words: Sequence[str], verb: str = "stop") -> None:
    """Write the stop file and wait until the daemon is gone. Raises what keeps it from ending."""
    _note_reason(session, verb, words)
    path = session.habits.file("stopfile")
    session.say(f"Creating {path} ... ", end="")
    try:
        _write_stop_file(session, words)
        daemon.stop(session.config)
        if session.catalog.locked("master"):
            raise DaemonNotRunning("the daemon of this install runs on another machine.", hint="Stop it there.")
    except BaseException:
        session.say("")
        raise
    session.say("Done")


def start(session: Session, words: Sequence[str], verb: str = "start") -> None:
    """Start the daemon, after stopping one that runs. Raises what keeps it from starting."""
    session.say("Checking for existing processes")
    _note_reason(session, verb, words)
    stopfile = session.habits.file("stopfile")
    _write_stop_file(session, words)
    left_behind = session.habits.master_pid.exists()
    daemon.stop(session.config)
    session.say(f"Removing {stopfile}")
    stopfile.unlink(missing_ok=True)
    if left_behind:
        session.say(f"Removing {session.habits.master_pid}")
        session.habits.master_pid.unlink(missing_ok=True)
    _keep_switches(session)
    session.say("Starting Bucardo")
    daemon.start(session.config)


def _write_stop_file(session: Session, words: Sequence[str]) -> None:
    _write(session.habits.file("stopfile"), f"{' '.join(words)}\n" if words else "", "w")


def _note_reason(session: Session, verb: str, words: Sequence[str]) -> None:
    """The file holds the last reason, and its namesake with .log all of them."""
    if not words:
        return
    path = session.habits.file("reason_file")
    line = f"{datetime.now().astimezone().strftime('%a %b %d %H:%M:%S %Y')} | {verb} | {' '.join(words)}\n"
    _write(path, line, "w")
    _write(path.with_name(f"{path.name}.log"), line, "a")


def _write(path: Path, text: str, mode: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.", hint="See `bucardo_ctl show piddir`.") from error


def _keep_switches(session: Session) -> None:
    """The daemon reads in the catalog how it was started."""
    session.catalog.forget_habits("start", "")
    for name in SWITCHES:
        if name in session.line.switches:
            session.catalog.set_habit("start", "", name, str(int(session.line.switches[name])))
    for name in VALUES:
        if value := session.option(name):
            session.catalog.set_habit("start", "", name, value)
    if session.line.on("cleandebugs"):
        for path in Path(session.option("debugdir") or "/tmp").glob("log.bucardo*"):  # noqa: S108
            path.unlink(missing_ok=True)

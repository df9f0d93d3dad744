"""Starts the daemon in the background (or lets systemd), stops it, and finds it: what commands and provisioning use.

The pid file's lock says whether it runs, so a killed daemon is not mistaken for a running one. What the daemon does is
`master`'s part. Nothing here reports success for what did not happen.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from replicator import lifeline
from replicator.config import Config
from replicator.errors import ConfigError, ReplicatorError
from replicator.pidfile import PidFile, alive

START_SECONDS = 30.0
STOP_SECONDS = 30.0
LEAVE_SECONDS = 5.0


@dataclass(frozen=True)
class Started:
    """The daemon's process id; already: another start than this one began it."""

    pid: int
    already: bool = False


def running(settings: Config) -> int | None:
    """The process id of the daemon of a configuration; None when it does not run."""
    return PidFile.of(settings).holder()


def start(settings: Config, seconds: float = START_SECONDS) -> Started:
    """Start the daemon in the background and wait until it can start controllers.

    Raises what kept it from starting, as one sentence with the exit code that goes with it.
    """
    if pid := running(settings):
        return Started(pid, already=True)
    if settings.unit:
        return _by_systemd("start", settings)
    if settings.path is None:
        raise ConfigError("the daemon needs a configuration that is in a file.")
    _writable(settings)
    reader, writer = os.pipe()
    try:
        _launch(settings, writer)
        os.close(writer)
        word = lifeline.hear_from_started(reader, seconds)
    finally:
        os.close(reader)
    if word is None:
        _give_up(settings, seconds)
    elif word.error:
        _await_end(word.pid)
        if word.outrun and (pid := running(settings)):  # by one that was started, and not seen yet, when this looked
            return Started(pid, already=True)
        failure = ReplicatorError(word.error)
        failure.exit_code = word.exit_code
        raise failure
    else:
        return Started(word.pid)
    raise AssertionError


def _writable(settings: Config) -> None:
    try:
        settings.log_file.parent.mkdir(parents=True, exist_ok=True)
        settings.log_file.open("a").close()
    except OSError as error:
        reason = error.strerror
        raise ConfigError(f"{settings.log_file}: {reason}.", hint="Correct log_file, or its permissions.") from error


def _launch(settings: Config, writer: int) -> None:
    command = [sys.executable, "-P", "-m", "replicator.master", "--config", str(settings.path)]
    command += ["--ready-fd", str(writer)]
    with settings.log_file.open("a") as output:  # for what comes from beneath logging: a crash of the interpreter
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[writer], check=False, timeout=60
        )


def _await_end(pid: int) -> None:
    """Wait for a daemon that has said why it cannot start: until it is gone, the next one would take it for running."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)


def _give_up(settings: Config, seconds: float) -> None:
    pid = running(settings)
    if pid:
        os.kill(pid, signal.SIGTERM)
        raise ReplicatorError(f"the daemon did not start within {seconds:g} s.", hint=f"See {settings.log_file}.")
    raise ReplicatorError("the daemon ended while it was starting.", hint=f"See {settings.log_file}.")


def stop(settings: Config, seconds: float = STOP_SECONDS) -> int | None:
    """Stop the daemon and wait until it and its controllers are gone. Its process id; None if it was not running.

    Raises ReplicatorError when it may not be stopped, or is still there after that time.
    """
    pid = running(settings)
    if pid is None:
        return None
    if settings.unit:
        _systemctl("stop", settings)
        return pid
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError as error:
        raise ReplicatorError(
            f"the daemon (pid {pid}) belongs to another user.", hint="Stop it as that one."
        ) from error
    except ProcessLookupError:
        return pid
    deadline = time.monotonic() + seconds
    while running(settings) == pid or alive(pid):  # its lock goes a moment before it does
        if time.monotonic() > deadline:
            hint = f"See {settings.log_file}; killing it with signal 9 loses nothing."
            raise ReplicatorError(f"the daemon (pid {pid}) is still running after {seconds:g} s.", hint=hint)
        time.sleep(0.02)
    return pid


def restart(settings: Config, seconds: float = STOP_SECONDS) -> Started:
    """Stop the daemon if it runs, and start it. Raises as `stop` and `start` do."""
    if settings.unit:
        return _by_systemd("restart", settings)
    stop(settings, seconds)
    return start(settings)


def _by_systemd(verb: str, settings: Config) -> Started:
    """Start or restart the service. It says by itself when it is ready."""
    _systemctl(verb, settings)
    pid = running(settings)
    if pid is None:
        raise ReplicatorError("the daemon ended while it was starting.", hint=f"See `journalctl -u {settings.unit}`.")
    return Started(pid)


def _systemctl(verb: str, settings: Config) -> None:
    done = subprocess.run(["systemctl", verb, settings.unit], capture_output=True, text=True, check=False)
    if done.returncode:
        said = next(iter(done.stderr.strip().splitlines()), f"exit code {done.returncode}").rstrip(".")
        rights = "" if os.geteuid() == 0 else " It takes root to do this."
        raise ReplicatorError(
            f"systemctl {verb} {settings.unit}: {said}.{rights}", hint=f"See `journalctl -u {settings.unit}`."
        )

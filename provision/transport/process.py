"""Runs a program with a script on its standard input and reads both outputs to the end, for `Local` and `OpenSSH`.

The program gets a session of its own: Ctrl-C at the terminal is for us, who decide what becomes of a running step.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from typing import Self

from provision.errors import HostFailed
from provision.transport.base import OnLine, OnSent, Result
from provision.transport.framing import CutShort, Envelope, Outgoing, Tap

POLL_SECONDS = 0.2
LOCK_FD = 9
"""Where a script finds the lock that it holds on to; what outlives the script must close it (`9>&-`)."""


@dataclass
class Output:
    """What came back. status: the exit code of the program itself; below 0 the signal that ended it."""

    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    status: int = 0


class Process:
    """One program at a time, which another thread may kill."""

    def __init__(self) -> None:
        self._pid = 0
        self._killed = False

    def kill(self) -> None:
        """End the program and what it started (its process group). Nothing happens when none runs."""
        if self._pid:
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)

    def converse(
        self,
        argv: Sequence[str],
        script: str,
        *,
        env: Mapping[str, str],
        timeout: float | None = None,
        tap: Tap | None = None,
        on_sent: OnSent | None = None,
        lock: int | None = None,
    ) -> Output:
        """Run it to its end. lock: a descriptor that it inherits as number 9. Raises HostFailed on time-out."""
        with Pipes() as pipes:
            self._killed = False
            self._pid = _spawn(argv, env, pipes.theirs, lock)
            pipes.hand_over()
            try:
                output = self._exchange(pipes, Outgoing(script.encode(), on_sent), timeout, tap)
            except BaseException:
                self.kill()
                raise
            finally:
                _, status = os.waitpid(self._pid, 0)
                self._pid = 0
        output.status = os.waitstatus_to_exitcode(status)
        return output

    def _exchange(self, pipes: Pipes, sent: Outgoing, timeout: float | None, tap: Tap | None) -> Output:
        output = Output()
        deadline = time.monotonic() + timeout if timeout else None
        with selectors.DefaultSelector() as ready:
            ready.register(pipes.to, selectors.EVENT_WRITE)
            ready.register(pipes.out, selectors.EVENT_READ)
            ready.register(pipes.err, selectors.EVENT_READ)
            # A killed program may have handed its pipes to another (ssh to its master): their end is not waited for.
            while ready.get_map() and not self._killed:
                if deadline and time.monotonic() >= deadline:
                    raise HostFailed(f"no answer within {timeout:g} s; the step was ended.")
                for key, _ in ready.select(POLL_SECONDS):
                    if key.fileobj is pipes.to:
                        _send(pipes.to, sent)
                        done = not sent
                    else:
                        done = not _receive(pipes, key.fd, output, tap)
                    if done:
                        ready.unregister(key.fileobj)
                if not sent:
                    pipes.to.close()
        return output


class Pipes:
    """The three standard streams of a program, seen from our side. File objects: closing one twice is harmless."""

    def __init__(self) -> None:
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        self.theirs: tuple[int, ...] = (in_read, out_write, err_write)
        self.to, self.out, self.err = (
            FileIO(fd, mode) for fd, mode in ((in_write, "wb"), (out_read, "rb"), (err_read, "rb"))
        )
        os.set_blocking(in_write, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hand_over()
        for stream in (self.to, self.out, self.err):
            stream.close()

    def hand_over(self) -> None:
        """Close the program's ends: it has its own copies now."""
        for fd in self.theirs:
            os.close(fd)
        self.theirs = ()


def talk(
    process: Process,
    argv: Sequence[str],
    script: str,
    *,
    as_user: str,
    env: Mapping[str, str],
    timeout: float | None,
    on_line: OnLine | None,
    on_sent: OnSent | None = None,
    lock: int | None = None,
    first: str = "",
) -> tuple[Result | None, Output]:
    """Send a script in its envelope, after what must come `first`. The result is None when the answer is cut short."""
    envelope = Envelope()
    tap = Tap(envelope.mark, on_line) if on_line else None
    sent = first + envelope.wrap(script, as_user)
    output = process.converse(argv, sent, env=env, timeout=timeout, tap=tap, on_sent=on_sent, lock=lock)
    try:
        return envelope.open(output.out.decode(errors="replace"), output.err.decode(errors="replace")), output
    except CutShort:
        return None, output


def _spawn(argv: Sequence[str], env: Mapping[str, str], theirs: tuple[int, ...], lock: int | None) -> int:
    # posix_spawn, not subprocess: it can give the lock a number that every shell can close, without code that runs
    # between fork and exec, which threads forbid.
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(theirs)]
    if lock is not None:
        actions.append((os.POSIX_SPAWN_DUP2, lock, LOCK_FD))
    return os.posix_spawnp(argv[0], list(argv), env, file_actions=actions, setsid=True, setsigdef=[signal.SIGPIPE])


def _send(stream: FileIO, sent: Outgoing) -> None:
    try:
        sent.gone(stream.write(sent.next(65536)) or 0)
    except BrokenPipeError:  # it has left without reading all: its answer will show that
        sent.give_up()


def _receive(pipes: Pipes, fd: int, output: Output, tap: Tap | None) -> bool:
    data = os.read(fd, 65536)
    if fd == pipes.err.fileno():
        output.err += data
    else:
        output.out += data
        if tap:
            tap.feed(data)
    return bool(data)

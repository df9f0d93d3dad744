"""The one stop signal of a process, the one place that ties it to SIGTERM and SIGINT, and what wakes a thread.

Threads look at a `Stop` between steps and wait on it instead of sleeping. Who sets it, and what is done to a thread
that does not notice, is the business of `master` and `controller`.
"""

from __future__ import annotations

import _thread
import select
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from replicator.errors import Interrupted


class Stop:
    """A request to stop, made once and seen by every thread that holds this object. reason: a short clause."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._reason = ""
        self._alarms: list[Alarm] = []

    @property
    def reason(self) -> str:
        """Why the stop was requested; empty while it was not."""
        return self._reason

    def set(self, why: str = "") -> None:
        """Request the stop. The first reason given stays."""
        with self._lock:
            if not self._event.is_set():
                self._reason = why
                self._event.set()
                for alarm in self._alarms:
                    alarm.set()

    def wake(self, alarm: Alarm) -> None:
        """Set this alarm too when the stop is requested; at once if it has been."""
        with self._lock:
            self._alarms.append(alarm)
            if self._event.is_set():
                alarm.set()

    def is_set(self) -> bool:
        """Whether the stop was requested."""
        return self._event.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait that long, or until the stop is requested (without a time: until then). True if it was."""
        return self._event.wait(seconds)

    def raise_if_set(self) -> None:
        """Raise Interrupted if the stop was requested."""
        if self._event.is_set():
            raise Interrupted(f"stopped: {self._reason}" if self._reason else None)


class Alarm:
    """Wakes one waiting thread, which waits for sockets as well. Set while nobody waits, it ends the next wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)

    def set(self) -> None:
        """Wake it. After `close` nobody is there to be woken."""
        with self._lock, suppress(OSError):  # closed
            if not self._is_set:
                self._is_set = True
                self._writer.send(b"!")

    def wait(self, seconds: float, *also: int) -> None:
        """Wait that long, until it is set, or until there is something to read at one of the sockets."""
        await_input(seconds, self._reader.fileno(), *also)
        with self._lock, suppress(BlockingIOError):
            self._is_set = False
            self._reader.recv(16)

    def close(self) -> None:
        """Let go of its sockets."""
        with self._lock:
            self._reader.close()
            self._writer.close()


def await_input(seconds: float, *sockets: int) -> None:
    """Wait that long, or until there is something to read at one of the sockets (a broken one counts)."""
    poll = select.poll()  # without a limit on the numbers of sockets, and one call to the system
    for number in sockets:
        poll.register(number, select.POLLIN)
    poll.poll(max(0.0, seconds) * 1000)


def install_handlers(stop: Stop) -> None:
    """Let SIGTERM and SIGINT request the stop. Call it in the main thread, before others start."""
    for number in (signal.SIGTERM, signal.SIGINT):
        _handle(number, lambda number: stop.set(signal.Signals(number).name))


def wake_at_child_end(alarm: Alarm) -> None:
    """Let the end of a child process set the alarm. Call it in the main thread."""
    _handle(signal.SIGCHLD, lambda _: alarm.set())


def _handle(number: signal.Signals, act: Callable[[int], None]) -> None:
    def handle(number: int, _frame: FrameType | None) -> None:
        # A handler runs between two bytecodes of the main thread, which may hold the very lock that `act` takes;
        # and threading.Thread.start() takes locks of its own. A raw thread takes none.
        _thread.start_new_thread(act, (number,))

    signal.signal(number, handle)

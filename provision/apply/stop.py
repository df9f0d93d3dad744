"""The wish to stop: asked for by a signal, heeded between steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Once asked, no new step begins; asked twice, the running ones are ended too."""

    def __init__(self) -> None:
        self._asked = 0

    def ask(self) -> None:
        """Ask to stop; again: at once. May be called from a signal handler's thread."""
        self._asked += 1

    @property
    def asked(self) -> bool:
        """Whether to begin nothing more."""
        return self._asked > 0

    @property
    def at_once(self) -> bool:
        """Whether not even to wait for what runs."""
        return self._asked > 1


@contextmanager
def heeding_signals(stop: Stop) -> Iterator[None]:
    """Let SIGINT and SIGTERM ask to stop, within the block. For the main thread."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.ask()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

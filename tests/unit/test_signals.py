"""The stop signal, and what sets it from outside."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from replicator.errors import Interrupted
from replicator.signals import Stop, install_handlers


@pytest.fixture
def handlers() -> Iterator[None]:
    """Give the test run its handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_reason_stays() -> None:
    stop = Stop()
    stop.raise_if_set()
    stop.set("one")
    stop.set("two")
    assert stop.is_set()
    assert stop.reason == "one"
    with pytest.raises(Interrupted, match="stopped: one"):
        stop.raise_if_set()


def test_waiting_ends_with_the_stop() -> None:
    stop = Stop()
    assert stop.wait(0.001) is False
    threading.Timer(0.05, stop.set).start()
    assert stop.wait(5) is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("handlers")
def test_a_signal_requests_the_stop_even_while_the_main_thread_holds_its_lock(number: signal.Signals) -> None:
    stop = Stop()
    install_handlers(stop)
    with stop._lock:
        os.kill(os.getpid(), number)
    assert stop.wait(5)
    assert stop.reason == number.name

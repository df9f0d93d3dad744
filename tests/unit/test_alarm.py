"""What wakes a resting thread: another thread, or something to read."""

from __future__ import annotations

import socket
import threading
import time

from replicator.signals import Alarm


def test_set_before_and_during_a_wait_ends_it_once() -> None:
    alarm = Alarm()
    alarm.set()
    alarm.set()
    began = time.monotonic()
    alarm.wait(30)
    assert time.monotonic() - began < 15
    waited = threading.Event()

    def wait() -> None:
        alarm.wait(30)
        waited.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not waited.wait(0.05), "two calls before are one"
    alarm.set()
    assert waited.wait(10)
    thread.join()
    alarm.close()
    alarm.set()


def test_something_to_read_ends_a_wait() -> None:
    alarm, (here, there) = Alarm(), socket.socketpair()
    there.send(b"x")
    began = time.monotonic()
    alarm.wait(30, here.fileno())
    assert time.monotonic() - began < 15
    for each in (here, there):
        each.close()
    alarm.close()

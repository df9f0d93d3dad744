"""A slow and lossy line between a host and the bridge, in user space: not every kernel has netem.

    python -m tests.lab.link LAB HOST DELAY JITTER LOSS

The cable is moved to a bridge of its own, and between that and the lab's bridge two taps pass the packets on: later by
DELAY milliseconds, give or take JITTER, in order, and LOSS percent of them not at all; the same each way.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from dataclasses import dataclass, field

from tests.lab.cgroup import Group
from tests.lab.network import BRIDGE, Network, cable

OPEN_TAP = 0x400454CA
IS_TAP, NO_HEADER = 0x0002, 0x1000
LARGEST = 65536


def bridge_of(host: str) -> str:
    """The bridge that a slow host's cable is moved to."""
    return f"far-{host}"


def group_of(lab: str, host: str) -> Group:
    """The group of the process that passes packets on."""
    return Group(f"{lab}/link-{host}")


@dataclass
class Line:
    """The packets on their way."""

    delay: float
    jitter: float
    loss: float
    _on_the_way: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _latest: dict[int, float] = field(default_factory=dict)
    _count: int = 0

    def put(self, out: int, packet: bytes) -> None:
        """A packet comes in, for `out`."""
        if random.uniform(0, 100) < self.loss:
            return
        after = max(0.0, random.gauss(self.delay, self.jitter)) if self.jitter else self.delay
        due = max(self._latest.get(out, 0.0), time.monotonic() + after / 1000)
        self._latest[out] = due
        self._count += 1
        heapq.heappush(self._on_the_way, (due, self._count, out, packet))

    def deliver(self) -> None:
        """Send what is due."""
        while self._on_the_way and self._on_the_way[0][0] <= time.monotonic():
            _due, _number, out, packet = heapq.heappop(self._on_the_way)
            with contextlib.suppress(OSError):  # an interface that is down
                os.write(out, packet)

    def wait(self) -> float | None:
        """Seconds until the next one is due."""
        return max(0.0, self._on_the_way[0][0] - time.monotonic()) if self._on_the_way else None


def main(lab: str, host: str, delay: str, jitter: str, loss: str) -> None:
    """Pass packets on until killed; a line on standard output says that it does."""
    group_of(lab, host).join()
    network = Network(lab)
    with network.inside():
        near, far = _tap(f"near-{host}"), _tap(f"tap-{host}")
    network.ip("link", "add", bridge_of(host), "type", "bridge", "forward_delay", 0)
    network.ip("link", "set", bridge_of(host), "up")
    network.ip("link", "set", f"near-{host}", "master", BRIDGE, "up")
    network.ip("link", "set", f"tap-{host}", "master", bridge_of(host), "up")
    network.ip("link", "set", cable(host), "master", bridge_of(host))
    print("passing on", flush=True)
    line = Line(float(delay), float(jitter), float(loss))
    other = {near: far, far: near}
    while True:
        line.deliver()
        for tap in select.select([near, far], [], [], line.wait())[0]:
            with contextlib.suppress(BlockingIOError):
                line.put(other[tap], os.read(tap, LARGEST))


def _tap(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, OPEN_TAP, struct.pack("16sH22x", name.encode(), IS_TAP | NO_HEADER))
    return descriptor


if __name__ == "__main__":
    main(*sys.argv[1:])

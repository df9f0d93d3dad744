"""The lab's network: a bridge in a network namespace of its own, that nothing leads into or out of.

Each host has a cable from the bridge to its `eth0`. The bridge's end stays over the host's reboots, with whatever was
done to it; the host's end gets a network stack of its own per boot, as a machine would have.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.shell import run

BRIDGE = "bridge"
CONTROL = "10.11.12.1"
"""This machine, as the hosts see it."""

CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")


class Network:
    """The network of the lab of that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def make(self) -> None:
        """Make namespace and bridge."""
        run("ip", "netns", "add", self.name)
        with self.inside():  # what nobody serves is refused at once, however often it is asked for
            Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", 0)
        self.ip("address", "add", f"{CONTROL}/24", "dev", BRIDGE)
        self.ip("link", "set", BRIDGE, "up")

    def remove(self) -> None:
        """Remove the namespaces of lab and hosts, and with them all that is in them."""
        for name in sorted(path.name for path in NAMESPACES.glob(f"{self.name}*")):
            if name == self.name or name.startswith(f"{self.name}-"):
                run("ip", "netns", "delete", name)

    def ip(self, *words: object) -> str:
        """Run `ip` inside."""
        return run("ip", "-n", self.name, *words)

    def lay_cable(self, host: str, address: str) -> None:
        """Connect a host, before its first boot: the bridge's end, and the host's, waiting."""
        hardware = "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))
        self.ip("link", "add", cable(host), "type", "veth", "peer", "name", _waiting(host), "address", hardware)
        self.ip("link", "set", cable(host), "master", BRIDGE, "up")

    def fresh_stack(self, host: str) -> Path:
        """The network namespace that a host is to boot with."""
        name = f"{self.name}-{host}"
        if (NAMESPACES / name).exists():
            run("ip", "-n", name, "link", "set", "eth0", "down")
            run("ip", "-n", name, "link", "set", "eth0", "netns", self.name, "name", _waiting(host))
            run("ip", "netns", "delete", name)
        run("ip", "netns", "add", name)
        self.ip("link", "set", _waiting(host), "netns", name, "name", "eth0")
        run("ip", "-n", name, "link", "set", "lo", "up")
        return NAMESPACES / name

    @property
    def entrance(self) -> tuple[str, ...]:
        """What a command is put behind to run inside."""
        return ("nsenter", f"--net={NAMESPACES / self.name}")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """For the calling thread: new sockets, and the programs that it starts, are inside."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            within = os.open(NAMESPACES / self.name, os.O_RDONLY)
            try:
                _enter(within)
            finally:
                os.close(within)
            try:
                yield
            finally:
                _enter(outside)
        finally:
            os.close(outside)


def cable(host: str) -> str:
    """The bridge's end of a host's cable."""
    return f"to-{host}"


def _waiting(host: str) -> str:
    return f"at-{host}"


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")

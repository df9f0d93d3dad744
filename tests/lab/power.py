"""Keeps a host under power: a process per host that boots it, and boots it again whenever it reboots itself.

    python -m tests.lab.power LAB HOST MEMORY

It ends when the host is powered off, or killed together with it. It belongs to the host's control group, as do all
processes of the host.
"""

from __future__ import annotations

import subprocess
import sys

from tests.lab.cgroup import Group
from tests.lab.network import Network
from tests.lab.places import Places
from tests.lab.shell import QUIET

REBOOTED = 133
"""What systemd-nspawn ends with when the system inside asked for a reboot."""


def main(lab: str, host: str, memory: str) -> int:
    """Boot until powered off; what the last boot ended with."""
    Group(f"{lab}/{host}").join(int(memory))
    root = Places(lab).root(host)
    while True:
        stack = Network(lab).fresh_stack(host)
        boot = subprocess.run(
            [
                *("systemd-nspawn", "--quiet", "--boot", f"--directory={root}"),
                *(f"--machine={lab}-{host}", f"--hostname={host}"),
                *("--register=no", "--keep-unit", "--console=read-only", "--resolv-conf=off", "--timezone=off"),
                *(f"--network-namespace-path={stack}", "--capability=CAP_NET_ADMIN"),
            ],
            env=QUIET | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            check=False,
        )
        print(f"-- {host}: ended with {boot.returncode}", flush=True)
        if boot.returncode != REBOOTED:
            return boot.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

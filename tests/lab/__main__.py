"""Makes and removes a lab by hand: `make lab`, `make lab-down`.

    python -m tests.lab up|down

The lab is called `plab` and stays until it is taken down. `.lab/` of the checkout gets what its user needs: ssh_config,
and a copy of inventories/lab.yml with the variables that differ here: these hosts reach no mirror but their own.
"""

from __future__ import annotations

import os
import shutil
import sys
import time

from tests.lab import cache, control, needs, wheels
from tests.lab.hosts import CHECKOUT
from tests.lab.lab import Lab, remove
from tests.lab.places import Places
from tests.lab.shell import write

NAME = "plab"
FOLDER = CHECKOUT / ".lab"

ENTER = """#!/bin/sh
# A shell, or a command, inside the lab's network; nothing leads out of it, so pip finds wheels in a folder.
export {variables}
[ $# -gt 0 ] || set -- "${{SHELL:-/bin/sh}}"
exec nsenter --net=/run/netns/{name} "$@"
"""

READY = """
{hosts} answer, in a network of their own:
    .lab/enter                                             a shell that is inside
    .lab/enter ssh -F .lab/ssh_config master               vagrant, who may use sudo; root@master is root
    .lab/enter .venv/bin/provision deploy .lab/lab.yml     inventories/lab.yml; .lab/group_vars has what differs here
`make lab-down` removes them."""


def up() -> None:
    """Boot three hosts, and say how to reach them."""
    if os.geteuid() == 0 and needs.on_debian() and (packages := needs.missing_packages()):
        print(f"Installing {' '.join(packages)} ...", flush=True)
        needs.install(packages)
    if reason := needs.reason_against():
        sys.exit(f"{reason[0].upper()}{reason[1:]}.")
    if Places(NAME).folder.exists():
        sys.exit("There is a lab already; `make lab-down` removes it.")
    build = cache.get(lambda text: print(text, flush=True))
    began = time.monotonic()
    lab = Lab(NAME, build)
    try:
        lab.up(keep=True)
    except BaseException:
        remove(NAME)
        raise
    print(f"Booted in {time.monotonic() - began:.1f} s.")
    control.write_inventory(FOLDER / "lab.yml", lab, FOLDER / "state")
    variables = " ".join(f"{key}={value}" for key, value in wheels.environment(wheels.get()).items())
    write(FOLDER / "enter", ENTER.format(variables=variables, name=NAME), 0o755)
    hosts = ", ".join(f"{host.name} ({host.address})" for host in lab)
    print(READY.format(hosts=hosts))


def down() -> None:
    """Remove the hosts, and the state that `provision` keeps of them."""
    if os.geteuid() != 0:
        sys.exit("A lab of real hosts needs root.")
    remove(NAME)
    shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    {"up": up, "down": down}[sys.argv[1]]()

"""Nothing stays of a lab whose process ended, whatever ended it; and two labs do not meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.fixtures.wait import until
from tests.lab.cache import Build
from tests.lab.cgroup import Group
from tests.lab.disk import mounts_below
from tests.lab.hosts import CHECKOUT
from tests.lab.lab import sweep, unused_name
from tests.lab.network import NAMESPACES
from tests.lab.places import Places


def remains(name: str) -> list[object]:
    """What there is of a lab."""
    namespaces = list(NAMESPACES.glob(f"{name}*"))
    folder = Places(name).folder
    return [*Group(name).processes(), *mounts_below(folder), *namespaces, *([folder] if folder.exists() else [])]


OWNER = """
import sys
from tests.lab import cache
from tests.lab.lab import Lab
lab = Lab(sys.argv[1], cache.get()).up()
print("up")
print(lab.reaper, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("reaper", [True, False], ids=["at once, by its reaper", "by the next lab, if that died too"])
def test_nothing_is_left_of_a_lab_whose_process_was_killed(build: Build, reaper: bool) -> None:
    name = unused_name()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, name], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        assert remains(name)
        sweep()
        assert remains(name), "a lab whose owner lives stays"
        if not reaper:
            os.kill(int(owner.stdout.readline()), signal.SIGKILL)
        owner.send_signal(signal.SIGKILL)
    if not reaper:
        sweep()
    until(lambda: not remains(name), 20, f"nothing is left of {name}")

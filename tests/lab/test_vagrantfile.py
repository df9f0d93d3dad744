"""The Vagrantfile, as Vagrant itself reads it: valid, with the inventory's machines, and what `vagrant up` ends in."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provision.inventory import load
from tests.fixtures.missing import IN_CI
from tests.lab.hosts import CHECKOUT

READER = Path(__file__).with_name("vagrantfile.rb")
Vagrant = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def vagrant(tmp_path: Path) -> Vagrant:
    """Runs a program with a home of Vagrant's own, and no way to any registry."""
    if not shutil.which("vagrant"):
        reason = "vagrant is not installed (apt-get install --no-install-recommends vagrant)"
        pytest.fail(reason, pytrace=False) if IN_CI else pytest.skip(reason)

    def run(*command: object, **variables: str) -> subprocess.CompletedProcess[str]:
        alone = {"VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_CHECKPOINT_DISABLE": "1", "HOME": str(tmp_path)}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LAB_", "PGHERD_LAB"))}
        words = list(map(str, command))
        return subprocess.run(
            words, capture_output=True, text=True, env=kept | alone | variables, cwd=tmp_path, timeout=60, check=False
        )

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Vagrantfile: Vagrant keeps its own files beside it."""
    place = tmp_path / "a lab"
    place.mkdir()
    shutil.copy(CHECKOUT / "Vagrantfile", place)
    return place


def machines(vagrant: Vagrant, folder: Path, **variables: str) -> dict[str, Any]:
    done = vagrant("ruby", READER, folder, **variables)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def test_vagrant_takes_it(vagrant: Vagrant, folder: Path) -> None:
    done = vagrant("vagrant", "validate", "--ignore-provider", VAGRANT_CWD=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Vagrantfile validated successfully." in done.stdout


def test_vagrant_would_say_what_is_wrong(vagrant: Vagrant, folder: Path) -> None:
    text = (folder / "Vagrantfile").read_text()
    (folder / "Vagrantfile").write_text(text.replace("node.vm.hostname", "node.vm.hostnam"))
    done = vagrant("vagrant", "validate", "--ignore-provider", VAGRANT_CWD=str(folder))
    assert done.returncode == 1
    assert "hostnam" in done.stdout + done.stderr


def test_its_machines_are_the_inventorys(vagrant: Vagrant, folder: Path) -> None:
    declared = {host.name: host.address for host in load(CHECKOUT / "inventories" / "lab.yml").hosts}
    found = machines(vagrant, folder)
    assert {name: machine["addresses"] for name, machine in found.items()} == {
        name: [address] for name, address in declared.items()
    }
    assert all(machine["hostname"] == name for name, machine in found.items())
    assert {machine["box"] for machine in found.values()} == {"almalinux/9"}
    other = machines(vagrant, folder, LAB_BOX="generic/centos7")
    assert {machine["box"] for machine in other.values()} == {"generic/centos7"}


def test_the_last_one_up_deploys(vagrant: Vagrant, folder: Path, tmp_path: Path) -> None:
    *others, last = machines(vagrant, folder).values()
    assert [machine["triggers"] for machine in others] == [[], []]
    (trigger,) = last["triggers"]
    assert trigger["after"] == "up"
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in (("vagrant", "echo Host master"), ("provision", f'echo "$PWD: $*" >{tmp_path / "called"!s}')):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    subprocess.run(shlex.split(trigger["run"]), check=True, cwd=tmp_path, env={"PATH": path})
    assert (tmp_path / "called").read_text() == f"{folder}: deploy inventories/lab.yml\n"
    assert (folder / ".lab" / "ssh_config").read_text() == "Host master\n"


def test_provision_lab_deploys_by_itself(vagrant: Vagrant, folder: Path) -> None:
    assert not any(machine["triggers"] for machine in machines(vagrant, folder, PGHERD_LAB="1").values())

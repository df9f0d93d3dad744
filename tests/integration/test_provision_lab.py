"""`provision lab`: what it asks of Vagrant, where, and what it says when something is missing.

The program is a stand-in that writes down how it was called: virtual machines need a hypervisor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.cli import Program

VAGRANT = """#!/bin/sh
echo "$PWD $PGHERD_LAB: $*" >>"$HOME/called"
case $1 in
  ssh-config) echo "Host master"; echo "  HostName 127.0.0.1" ;;
  up) echo "Bringing machine 'master' up"; [ ! -e "$HOME/broken" ] || exit 1 ;;
  status) echo "master running (virtualbox)" ;;
esac
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    (tmp_path / "bin").mkdir()
    for name, text in (("vagrant", VAGRANT), ("VBoxManage", "#!/bin/sh\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "lab" / "deeper").mkdir(parents=True)
    (tmp_path / "lab" / "Vagrantfile").touch()
    made = Program(tmp_path, {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    yield made
    made.close()


def test_up_makes_machines_and_says_how_to_log_in(program: Program) -> None:
    lab = program.folder / "lab"
    result = program("provision", "lab", "up", "--folder", lab, "--no-deploy").ok()
    assert "Bringing machine 'master' up" in result.out, "progress is Vagrant's own"
    assert "provision deploy" in result.out
    assert (lab / ".lab/ssh_config").read_text().startswith("Host master")
    assert (program.folder / "called").read_text().splitlines()[0] == f"{lab} 1: up"


def test_up_ends_in_deploy(program: Program) -> None:
    result = program("provision", "lab", "up", "--folder", program.folder / "lab").exits(2)
    assert "inventories/lab.yml; the machines are up" in result.err
    inventories = program.folder / "lab/inventories"
    inventories.mkdir()
    (inventories / "lab.yml").write_text("all: {vars: {state_dir: s}, hosts: {a: {ssh: {host: 127.0.0.1, port: 1}}}}\n")
    result = program("provision", "lab", "up", "--folder", program.folder / "lab").exits(4)
    assert "a: " in result.out and "cannot be reached" in result.out


def test_down_asks_and_forgets_the_logins(program: Program) -> None:
    lab = program.folder / "lab"
    program("provision", "lab", "up", "--folder", lab, "--no-deploy").ok()
    assert "add --yes" in program("provision", "lab", "down", "--folder", lab).exits(2).err
    program("provision", "lab", "down", "--folder", lab, "--yes").ok()
    assert not (lab / ".lab/ssh_config").exists()
    assert "destroy --force" in (program.folder / "called").read_text()
    assert "master running" in program("provision", "lab", "status", "--folder", lab).ok().out


def test_a_failure_of_vagrant_is_one_sentence(program: Program) -> None:
    (program.folder / "broken").touch()
    result = program("provision", "lab", "up", "--folder", program.folder / "lab").exits(1)
    assert "`vagrant up` failed with code 1; what it said stands above." in result.err


def test_what_is_missing_is_named(program: Program) -> None:
    assert "there is no Vagrantfile" in program("provision", "lab", "status", "--folder", program.folder).exits(2).err
    (program.folder / "bin/VBoxManage").unlink()
    program.env["PATH"] = f"{program.folder}/bin:/bin"
    lab = program.folder / "lab"
    missing = program("provision", "lab", "up", "--folder", lab)
    if "virsh" not in missing.err:  # a machine that has libvirt
        missing.ok()
    else:
        assert "neither virtualbox (VBoxManage) nor libvirt (virsh)" in missing.err
    (program.folder / "bin/vagrant").unlink()
    program.env["PATH"] = f"{program.folder}/bin"
    gone = program("provision", "lab", "status", "--folder", lab).exits(1)
    assert "there is no vagrant on this machine." in gone.err and "local.yml" in gone.err

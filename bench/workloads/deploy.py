"""Setting hosts up: the same 25 steps on 3 and 10 hosts over SSH, a first run and one that changes nothing.

Hosts are sshds on loopback addresses with a /run/lock of their own. ansible-core and pyinfra come from the package
index into an environment of their own, and are given what their manuals advise for speed: pipelining, as many forks as
hosts, no gathering of facts that nothing uses.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import stage
from bench.figures import OURS, Sample, Target
from bench.workloads import Race, Workload
from tests.fixtures import remote, sshd
from tests.fixtures.remote import RemoteSite

PEERS = ("ansible-core>=2.17,<2.20", "pyinfra>=3.5,<4")
NUMBERS = (3, 10)

Command = Callable[[RemoteSite, Sequence[str]], list[str]]
"""The command line that brings some hosts of a site to what is wanted."""


def _run(race: Race) -> Iterator[Sample]:
    if os.geteuid() != 0:
        race.say("deploy is left out: only root can have hosts of their own on one machine")
        return
    programs = _peers(race)
    commands: dict[str, Command] = {
        OURS: _ours,
        "pyinfra": lambda site, names: _pyinfra(programs, site, names),
        "ansible": lambda site, names: _ansible(programs, site, names),
    }
    for number in range(race.rounds):
        for hosts in NUMBERS:
            for name, command in commands.items():
                race.say(f"round {number + 1} of {race.rounds}: {name}, {hosts} hosts")
                try:
                    first, again = _times(hosts, command)
                except sshd.NoSshd as missing:
                    race.say(f"deploy is left out: {missing}")
                    return
                yield Sample("deploy", f"first run, {hosts} hosts", name, first, "s", round=number)
                yield Sample("deploy", f"no change, {hosts} hosts", name, again, "s", round=number)


def _times(hosts: int, command: Command) -> tuple[float, float]:
    names = [f"h{number}" for number in range(hosts)]
    site = remote.site(names, first=61)
    try:
        site.write(names=names, replication=False)
        return _seconds(site, command(site, names)), _seconds(site, command(site, names))
    finally:
        site.close()


def _seconds(site: RemoteSite, command: list[str]) -> float:
    env = {**os.environ, "HOME": str(site.folder), "XDG_RUNTIME_DIR": str(site.folder), "ANSIBLE_NOCOLOR": "1"}
    env |= {"ANSIBLE_CONFIG": str(site.folder / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, env=env, check=False, timeout=600, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return time.monotonic() - began


def _ours(site: RemoteSite, _names: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "bench.stage", "deploy", str(site.inventory), "--no-proof", "--yes"]


def _ansible(programs: Path, site: RemoteSite, names: Sequence[str]) -> list[str]:
    (site.folder / "ansible.cfg").write_text(
        f"[defaults]\nforks = {len(names)}\ngathering = explicit\ninterpreter_python = /usr/bin/python3\n"
        "[ssh_connection]\npipelining = True\n"
    )
    lines = ["[all]"]
    for name in names:
        host = site.hosts[name]
        lines.append(
            f"{name} ansible_host={host.address} ansible_port={host.server.port} ansible_user={host.server.user}"
            f" ansible_ssh_common_args='-F {host.server.config}'"
        )
    (site.folder / "hosts.ini").write_text("\n".join(lines) + "\n")
    tasks = ['    - ansible.builtin.file: {path: "/run/lock/{{ inventory_hostname }}", state: directory}']
    tasks += [
        f'    - ansible.builtin.copy: {{dest: "/run/lock/{{{{ inventory_hostname }}}}/file{number}", mode: "0644",'
        f" content: \"{{{{ ('{number} of ' + inventory_hostname + '\\n') * 20 }}}}\"}}"
        for number in range(1, stage.FILES + 1)
    ]
    playbook = site.folder / "play.yml"
    playbook.write_text("- hosts: all\n  gather_facts: false\n  tasks:\n" + "\n".join(tasks) + "\n")
    return [str(programs / "ansible-playbook"), "-i", str(site.folder / "hosts.ini"), str(playbook)]


def _pyinfra(programs: Path, site: RemoteSite, names: Sequence[str]) -> list[str]:
    hosts = [
        (
            name,
            {
                "ssh_hostname": site.hosts[name].address,
                "ssh_port": site.hosts[name].server.port,
                "ssh_user": site.hosts[name].server.user,
                "ssh_key": str(site.hosts[name].server.user_key),
                "ssh_known_hosts_file": str(site.hosts[name].server.known_hosts),
            },
        )
        for name in names
    ]
    inventory, deploy = site.folder / "hosts.py", site.folder / "steps.py"
    inventory.write_text(f"hosts = {hosts!r}\n")
    deploy.write_text(
        "from io import StringIO\nfrom pyinfra import host\nfrom pyinfra.operations import files\n"
        'place = f"/run/lock/{host.name}"\nfiles.directory(path=place)\n'
        f"for number in range(1, {stage.FILES} + 1):\n"
        '    text = f"{number} of {host.name}\\n" * 20\n'
        '    files.put(src=StringIO(text), dest=f"{place}/file{number}", mode="644")\n'
    )
    return [str(programs / "pyinfra"), "--yes", "--parallel", str(len(names)), str(inventory), str(deploy)]


def _peers(race: Race) -> Path:
    """The folder of the peers' programs; installed where they are not yet."""
    folder = Path(".cache/bench/peers").absolute()
    if not (folder / "installed").exists():
        race.say(f"installing {', '.join(PEERS)} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", *PEERS], check=True)
        (folder / "installed").touch()
    return folder / "bin"


WORKLOAD = Workload(
    "deploy",
    "25 steps on 3 and on 10 hosts over SSH, a first run and one that changes nothing",
    _run,
    (
        Target("deploy", "no change, 10 hosts", "ansible", 50.0),
        Target("deploy", "no change, 10 hosts", "pyinfra", 6.0),
        Target("deploy", "first run, 10 hosts", "ansible", 40.0),
        Target("deploy", "first run, 10 hosts", "pyinfra", 5.0),
    ),
)

"""A lab: three hosts on a network, the mirror that they install from, and everything that goes when the lab goes.

What is there is never remembered, it is looked for: a lab is taken down by its name alone, whatever state it is in. A
lab belongs to the process that made it; what a dead one left is removed by its reaper or by the next lab.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.lab.cache import Build
from tests.lab.cgroup import Group
from tests.lab.disk import mounts_below, unmount
from tests.lab.hosts import CHECKOUT, Machine
from tests.lab.network import Network
from tests.lab.places import ROOT, Places
from tests.lab.shell import CommandFailed, run, write

ADDRESSES = {"master": "10.11.12.241", "slave": "10.11.12.242", "master2": "10.11.12.243"}
PREFIX = "pl"

SSH_CONFIG = """Host {host.name}
  HostName {host.address}
  User vagrant
  IdentityFile {places.key}
  IdentitiesOnly yes
  UserKnownHostsFile {places.known_hosts}
  StrictHostKeyChecking yes
  ConnectTimeout 3
  LogLevel ERROR
"""


class Lab:
    """Three hosts by name: `lab["master"]`."""

    def __init__(self, name: str, build: Build) -> None:
        self.name = name
        self.places = Places(name)
        self.network = Network(name)
        self.machines = {host: Machine(name, host, address, build.tree) for host, address in ADDRESSES.items()}
        self.build = build
        self._owned: list[int] = []
        self._helpers: list[subprocess.Popen[bytes]] = []

    def __getitem__(self, host: str) -> Machine:
        return self.machines[host]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines.values())

    def up(self, *, keep: bool = False) -> Lab:
        """Make it: three fresh hosts, booted. keep: it stays when this process ends."""
        sweep()
        with _one_at_a_time():
            self.places.hosts.mkdir(parents=True)
            self._owned = [_own(self.places), self.build.hold()]
        if keep:
            self.places.kept.touch()
        else:
            self._start("reaper", self.name, own_input=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", self.places.key)
        # A host's mounts must not live on in those of another that was started meanwhile.
        run("mount", "--bind", self.places.hosts, self.places.hosts)
        run("mount", "--make-shared", self.places.hosts)
        self.network.make()
        self._start("mirror", self.name, self.build.mirror)
        self._all(Machine.make)
        self._write_ssh_files()
        self._all(Machine.start)
        return self

    def down(self) -> None:
        """Remove it."""
        remove(self.name)
        for machine in self:
            machine.forget()
        for process in self._helpers:
            if process.stdin:
                process.stdin.close()
            process.wait()
        while self._owned:
            os.close(self._owned.pop())

    @contextmanager
    def inside(self) -> Iterator[None]:
        """For this thread: sockets and programs are made inside the lab's network."""
        with self.network.inside():
            yield

    def partition(self, *hosts: str) -> None:
        """Keep these from each other; the others see all of them. `Machine.heal` takes one out again."""
        for host in hosts:
            self[host].isolate()

    def heal(self) -> None:
        """Undo what was done to the network."""
        self._all(Machine.heal)

    @property
    def reaper(self) -> int:
        """The process that takes it down when this one is killed."""
        return self._helpers[0].pid

    def _all(self, verb: Callable[[Machine], None]) -> None:
        with ThreadPoolExecutor(len(self.machines)) as pool:
            list(pool.map(verb, self))

    def _start(self, module: str, *args: object, own_input: bool = False) -> None:
        """Start a process of the lab, and wait for the line that says it serves."""
        log = self.places.folder / f"{module}.log"
        with log.open("ab") as complaints:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.lab.{module}", *map(str, args)],
                cwd=CHECKOUT,
                stdin=subprocess.PIPE if own_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
            )
        self._helpers.append(process)
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline(), f"{module} does not start: {log.read_text()}"

    def _write_ssh_files(self) -> None:
        known = [f"{host.name},{host.address} {host.host_key}" for host in self]
        write(self.places.known_hosts, "\n".join(known) + "\n")
        config = [SSH_CONFIG.format(host=host, places=self.places) for host in self]
        write(self.places.ssh_config, "\n".join(config))


def unused_name() -> str:
    """A name for a lab of this process."""
    return next(name for i in itertools.count() if not Places(name := f"{PREFIX}{os.getpid()}-{i}").folder.exists())


def remove(name: str) -> None:
    """Take a lab down: its processes, mounts, networks, groups and files; whatever of them there is."""
    places = Places(name)
    Group(name).kill()
    for folder in mounts_below(places.folder):
        try:
            unmount(folder, 3)
        except CommandFailed:  # somebody made a mount namespace meanwhile that has a copy: it goes with that
            run("umount", "--lazy", folder)
    Network(name).remove()
    Group(name).remove()
    shutil.rmtree(places.folder, ignore_errors=True)


def sweep() -> None:
    """Remove labs whose owners are gone."""
    with _one_at_a_time():
        for folder in ROOT.iterdir():
            places = Places(folder.name)
            if folder.is_dir() and not places.kept.exists() and not _is_owned(places):
                remove(places.name)


def _own(places: Places) -> int:
    owner = os.open(places.owner, os.O_RDWR | os.O_CREAT)
    fcntl.flock(owner, fcntl.LOCK_EX)
    return owner


def _is_owned(places: Places) -> bool:
    with contextlib.suppress(FileNotFoundError), places.owner.open("r+") as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

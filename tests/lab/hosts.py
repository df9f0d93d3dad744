"""A host of a lab, and what can be done to it: its verbs are the operations and the mishaps of a real machine."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.wait import until
from tests.lab import identity, link
from tests.lab.cgroup import Group
from tests.lab.disk import Disk
from tests.lab.network import BRIDGE, Network, cable
from tests.lab.places import Places
from tests.lab.shell import run

CHECKOUT = Path(__file__).parents[2]
POWER_OFF, REBOOT = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5
"""What systemd takes them for, as process 1."""
MEMORY = 2 << 30
NANOSECONDS = 10**9


@dataclass(frozen=True)
class Answer:
    """What a script on a host ended with."""

    code: int
    out: str
    err: str


class Machine:
    """A host. tree: the image that its disk lies over."""

    def __init__(self, lab: str, name: str, address: str, tree: Path) -> None:
        self.name = name
        self.address = address
        self.network = Network(lab)
        self._lab = lab
        self._tree = tree
        self._places = Places(lab)
        self._disk = Disk(self._places, name)
        self._group = Group(f"{lab}/{name}")
        self._power: subprocess.Popen[bytes] | None = None
        self._slow: subprocess.Popen[bytes] | None = None

    # Reaching it

    def run(self, script: str, user: str = "root", seconds: float = 120) -> str:
        """What a script printed on standard output, run over ssh. Raises AssertionError when it fails."""
        answer = self.attempt(script, user, seconds)
        assert answer.code == 0, f"{self.name}: {script!r} ended with {answer.code}\n{answer.out}{answer.err}"
        return answer.out.strip()

    def attempt(self, script: str, user: str = "root", seconds: float = 120) -> Answer:
        """What a script ended with, run over ssh: 255 when the host does not answer."""
        return _answer(self.ssh(script, user), seconds)

    def ssh(self, script: str, user: str = "root") -> list[str]:
        """The command that runs a script there."""
        ssh = ("ssh", "-F", str(self._places.ssh_config), "-o", "BatchMode=yes", f"{user}@{self.name}", "--", script)
        return [*self.network.entrance, *ssh]

    def console(self, script: str, seconds: float = 120) -> str:
        """What a script printed, run as root without the network, as at the machine itself."""
        inside = ["nsenter", f"--target={self._pid()}", "--all", "--"]
        answer = _answer([*inside, "/bin/sh", "-c", script], seconds)
        assert answer.code == 0, f"{self.name}: {script!r} ended with {answer.code}\n{answer.out}{answer.err}"
        return answer.out.strip()

    def commands(self, user: str = "vagrant") -> int:
        """How many commands an account has run over ssh since the host booted."""
        said = self.console("journalctl --quiet --boot --identifier=sshd --output=cat")
        return said.count(f"Starting session: command for {user} ")

    def file(self, path: str) -> Path:
        """A file of the host, as this machine sees it; while the host is under power."""
        return self._places.root(self.name) / path.lstrip("/")

    # Making it, and power

    def make(self) -> None:
        """Make its disk, with what sets it apart from the others: name, address, keys. It is off then."""
        self._disk.make()
        self._disk.mount(self._tree)
        identity.write_to(self._places.root(self.name), self.name, self.address, self._places.key)
        self._disk.sync()
        self.network.lay_cable(self.name, self.address)

    @property
    def host_key(self) -> str:
        """Its public key, as known_hosts has it; while it is under power."""
        return identity.host_key(self._places.root(self.name))

    def start(self) -> None:
        """Switch it on, and wait until it has booted."""
        self._disk.mount(self._tree)
        with self._places.console(self.name).open("ab") as console:
            self._power = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.power", self._lab, self.name, str(MEMORY)],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait()

    def wait(self, seconds: float = 60) -> None:
        """Wait until it is up: ssh answers, and the services have started."""
        until(self._answers, seconds, f"{self.name} answers on ssh; its console is {self._places.console(self.name)}")
        self.console("systemctl is-system-running --wait || systemctl --failed")

    def stop(self) -> None:
        """Shut it down in order."""
        os.kill(self._pid(), POWER_OFF)
        self._off()

    def reboot(self) -> None:
        """Shut it down in order and boot it again."""
        with self.booting_again():
            os.kill(self._pid(), REBOOT)

    @contextmanager
    def booting_again(self) -> Iterator[None]:
        """Whatever is done within makes it boot again; await that. While it goes down it may well answer still."""
        before = self._pid()
        yield
        until(lambda: self._first_process() not in (0, before), 30, f"{self.name} boots again")
        self.wait()

    def kill(self) -> None:
        """End all its processes at once; what they had written is on the disk."""
        self._group.kill()
        self._disk.sync()
        self._off()

    def power_loss(self) -> None:
        """Take its power: what was not synced to the disk is lost. `start` switches it on again."""
        self._disk.cut_power()
        self._group.kill()
        self._off()

    def forget(self) -> None:
        """Collect the processes that served it, once they have ended."""
        for process in (self._power, self._slow):
            if process is not None:
                process.wait()
        self._power = self._slow = None

    def freeze(self) -> None:
        """Let it hang: it keeps its connections, and does nothing."""
        self._group.freeze()

    def thaw(self) -> None:
        """Let it go on where it stood."""
        self._group.freeze(False)

    # Its cable

    def unplug(self) -> None:
        """Pull its cable out: it sees that."""
        self.network.ip("link", "set", cable(self.name), "down")

    def plug(self) -> None:
        """Put the cable back."""
        self.network.ip("link", "set", cable(self.name), "up")

    def blackhole(self) -> None:
        """Lose all its packets, while the cable seems sound."""
        self.network.ip("link", "set", cable(self.name), "nomaster")

    def heal(self) -> None:
        """Undo what was done to its cable: unplugged, black hole, partition, slow link."""
        self.network.ip("link", "set", cable(self.name), "master", BRIDGE, "up")
        self.isolate(False)
        if self._slow is not None:
            self._slow.kill()
            self._slow.wait()
            self._slow = None
            self.network.ip("link", "delete", link.bridge_of(self.name))

    def isolate(self, yes: bool = True) -> None:
        """Keep it and other isolated hosts from each other; the rest sees both."""
        run("bridge", "-n", self._lab, "link", "set", "dev", cable(self.name), "isolated", "on" if yes else "off")

    def link(self, delay: float = 0, jitter: float = 0, loss: float = 0) -> None:
        """Make its line slow: milliseconds and percent, each way. `heal` ends it."""
        self._slow = slow = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.link", self._lab, self.name, str(delay), str(jitter), str(loss)],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert slow.stdout is not None
        with slow.stdout as said:
            assert said.readline() == b"passing on\n", "the slow line could not be made"

    # Its disk and clock

    def fill_disk(self) -> None:
        """Leave next to no room on its disk."""
        self._disk.fill()

    def free_disk(self) -> None:
        """Give the room back."""
        self._disk.free()

    def skew_clock(self, seconds: float) -> None:
        """Set its clock apart from this machine's; 0: no longer. Its running processes see it at once."""
        shift = round(seconds * NANOSECONDS)
        clock = os.open(self.file("/etc/lab-clock"), os.O_RDWR)
        try:
            os.pwrite(clock, struct.pack("qq", *divmod(shift, NANOSECONDS)), 0)
        finally:
            os.close(clock)

    def _answers(self) -> bool:
        with self.network.inside(), socket.socket() as probe:
            probe.settimeout(1)
            try:
                probe.connect((self.address, 22))
                return probe.recv(4) == b"SSH-"
            except OSError:
                return False

    def _pid(self) -> int:
        return until(self._first_process, 10, f"{self.name} runs")

    def _first_process(self) -> int:
        """The host's process 1, as this machine counts it; 0 while there is none."""
        for pid in self._group.processes():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(numbers) > 1 and numbers[-1] == "1":
                return pid
        return 0

    def _off(self) -> None:
        until(lambda: not self._group.processes(), 60, f"{self.name} is off")
        if self._power is not None:
            self._power.wait()
        self._disk.unmount()


def _answer(words: list[str], seconds: float) -> Answer:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"not done within {seconds:g} s: {shlex.join(words[-1:])}") from error
    return Answer(done.returncode, done.stdout, done.stderr)

"""The how-to's machines on this one: three servers on loopback addresses, and hosts from which commands are typed.

10.11.12.241, .242 and .243 become 127.x.y.241 to .243, port 5432 as typed; /var/run/bucardo and ~ become folders of
their own for each host. Otherwise a command runs in a shell as it stands in the how-to.
"""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures import processes
from tests.fixtures.servers import Server
from tests.fixtures.wait import T, until

NET = "10.11.12."
PIDDIR = "/var/run/bucardo"
PROGRAMS = ("createdb", "pgbench", "psql", "pg_ctl", "postgres")

MARKS = {"<n>": r"-?\d+", "<pid>": r"\d+", "<ago>": r"(?:\d+h)?(?:\d+m)?\d+s", "<spaced>": r"(?:\d+h )?(?:\d+m )?\d+s"}
MARKS |= {"<any>": r".*", "<counts>": r"\d+/\d+/\d+", "<Counts>": r"\d+ / \d+ / \d+", "<?>": "?"}


@dataclass
class Host:
    """A machine of the how-to. server: its PostgreSQL; None for the workstation."""

    name: str
    folder: Path
    net: str
    server: Server | None

    def __post_init__(self) -> None:
        self.folder.mkdir()

    @property
    def piddir(self) -> Path:
        """What /var/run/bucardo stands for."""
        return self.folder / "run"

    def __call__(self, command: str, code: int = 0, stdin: str = "") -> str:
        """Type a command; what it prints, addresses and folders as in the how-to. Fails on another exit code."""
        typed = command.replace(NET, self.net).replace(PIDDIR, str(self.piddir))
        done = subprocess.run(
            ["bash", "-c", typed],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env=self._env(),
            cwd=self.folder,
            check=False,
        )
        shown = (done.stdout + done.stderr).replace(str(self.piddir), PIDDIR).replace(self.net, NET)
        assert done.returncode == code, f"{self.name}$ {command}\nexit code {done.returncode}, not {code}\n{shown}"
        return shown

    def _env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "XDG_"))}
        path = os.pathsep.join([str(self.folder.parent / "bin"), str(Path(sys.executable).parent), kept["PATH"]])
        env = {**kept, "PATH": path, "HOME": str(self.folder), "PGUSER": "postgres", "LC_ALL": "C.UTF-8"}
        # Without -h a program talks to its own machine's server.
        return {**env, "PGHOST": self.server.host} if self.server else env

    def processes(self) -> list[str]:
        """The titles of this install's processes, as `ps` shows them."""
        pid = self.piddir / "bucardo.mcp.pid"
        if not pid.exists():
            return []
        master = int(pid.read_text())
        return [processes.title(each) for each in [master, *processes.descendants(master)]]


@dataclass
class Cluster:
    """M, S and M2 with their servers, and X, a machine that is none of them."""

    master: Host
    slave: Host
    master2: Host
    other: Host

    def close(self) -> None:
        """End the daemons."""
        for host in (self.master, self.master2):
            if host.processes():
                host("bucardo_ctl stop")


def build(folder: Path, private: Callable[..., Server]) -> Cluster:
    """Three fresh servers, and nothing else."""
    net = free_net()
    servers = {number: _server(private, f"{net}{number}") for number in (241, 242, 243)}
    programs = folder / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        binaries = servers[241].binaries
        library = f"export LD_LIBRARY_PATH={binaries.lib}\n" if binaries.lib else ""
        (programs / name).write_text(f'#!/bin/sh\n{library}exec {binaries.bin / name} "$@"\n')
        (programs / name).chmod(0o755)
    return Cluster(
        master=Host("master", folder / "master", net, servers[241]),
        slave=Host("slave", folder / "slave", net, servers[242]),
        master2=Host("master-2", folder / "master2", net, servers[243]),
        other=Host("other", folder / "other", net, None),
    )


def _server(private: Callable[..., Server], address: str) -> Server:
    server = private(listen_addresses=address)
    server.stop()
    server.host, server.port = address, 5432
    # On loopback every client comes from 127.0.0.1, whichever address it talks to.
    lines = ["local all all trust", "host all postgres 127.0.0.0/8 trust", "host all all 127.0.0.0/8 trust"]
    (server.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")
    server.start()
    return server


def free_net() -> str:
    """The first three numbers of loopback addresses at which port 5432 is free."""
    for _ in range(50):
        net = f"127.{random.randint(1, 250)}.{random.randint(0, 250)}."
        if all(_free(f"{net}{number}") for number in (241, 242, 243)):
            return net
    raise AssertionError("port 5432 is taken on every loopback address")


def _free(address: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, 5432))
        except OSError:
            return False
    return True


def same(printed: str, *expected: str) -> None:
    """What was printed is these lines; `<n>`, `<pid>`, `<ago>` and so on stand for what differs from run to run."""
    lines = printed.rstrip("\n").split("\n")
    wanted = [form(line) for line in expected]
    fits = len(lines) == len(wanted) and all(
        re.fullmatch(want, line.rstrip()) for want, line in zip(wanted, lines, strict=True)
    )
    assert fits, "\n".join(["printed:", *lines, "expected:", *expected])


def form(line: str) -> str:
    """The regular expression of an expected line."""
    text = re.escape(line.rstrip())
    for mark, meaning in MARKS.items():
        text = text.replace(re.escape(mark), meaning)
    return text


def soon(condition: Callable[[], T], what: str, seconds: float = 15) -> T:
    """Wait for an effect in the databases; what the condition says then."""
    return until(condition, seconds, what, every=0.1)


def unchanged_for(read: Callable[[], str], seconds: float) -> bool:
    """Whether something stays as it is for a while: for what must not happen there is no event."""
    before, end = read(), time.monotonic() + seconds
    while time.monotonic() < end:
        if read() != before:
            return False
        time.sleep(0.1)
    return True

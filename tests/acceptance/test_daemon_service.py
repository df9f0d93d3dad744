"""The daemon as a service of systemd: it says when it is ready, logs for the journal, and leaves starting to others.

What stands for systemd here is what it gives a service: a socket, a stream, and the program `systemctl`.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.cli import Program
from tests.fixtures.daemon import TABLE, World
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until

SYSTEMCTL = """#!/bin/sh
echo "$*" >>{folder}/asked
case $1 in
  start|restart) {replicator} start --foreground >/dev/null 2>&1 & until [ -s {folder}/run/pgherd.pid ]; do :; done ;;
  stop) kill $(cut -d' ' -f1 {folder}/run/pgherd.pid) ;;
esac
"""
REFUSES = "#!/bin/sh\necho 'Failed to start it: Access denied' >&2\nexit 4\n"


@pytest.fixture
def world(program: Program, tmp_path: Path, catalog_node: Node, node_factory: NodeFactory) -> World:
    """A sync `alpha` from source to target."""
    made = World(program, tmp_path, catalog_node)
    made.databases(*(node_factory(name, schema=TABLE).database for name in ("source", "target")))
    made.sync("alpha", "source", "target")
    return made


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket at which services say that they are ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(20)
        yield made


def test_it_says_that_it_is_ready_and_logs_as_the_journal_wants_it(
    world: World, program: Program, tmp_path: Path, listener: socket.socket
) -> None:
    journal = tmp_path / "journal"
    journal.touch()
    found = journal.stat()
    program.env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    process = program.start("replicator", "start", "--foreground", log=journal)
    assert listener.recv(100) == b"READY=1"
    assert world.status()["daemon"]["running"], "ready means that controllers may be started"
    world.await_state("alpha", "target", "idle")
    process.terminate()
    assert process.wait(10) == 0
    lines = journal.read_text().splitlines()
    assert "<6>alpha: source -> target: begins" in lines
    assert all(re.match(r"<[346]>(master|alpha): ", line) for line in lines), "no second time, no second level"
    assert re.search(r"^\d{4}-\d\d-\d\d .* INFO +master: begins", world.log(), re.MULTILINE)


def test_a_daemon_that_cannot_start_is_never_ready(
    world: World, program: Program, tmp_path: Path, listener: socket.socket
) -> None:
    program.env["NOTIFY_SOCKET"] = str(tmp_path / "notify")
    world.config.write_text(re.sub(r'port = "\d+"', 'port = "1"', world.config.read_text()))
    assert "does not answer" in world("start", "--foreground").exits(4).err
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(100)


def systemctl(program: Program, folder: Path, text: str) -> None:
    """Put a `systemctl` before the system's."""
    place = folder / "bin" / "systemctl"
    place.parent.mkdir()
    replicator = Path(sys.executable).parent / "replicator"
    place.write_text(text.format(folder=folder, replicator=replicator))
    place.chmod(0o755)
    program.env["PATH"] = f"{place.parent}:{os.environ['PATH']}"


def test_where_a_service_runs_it_the_commands_ask_systemd(world: World, program: Program, tmp_path: Path) -> None:
    systemctl(program, tmp_path, SYSTEMCTL)
    world.config.write_text('unit = "some-unit"\n' + world.config.read_text())
    world("start").ok()
    until(world.master, 10, "it runs")
    assert "already running" in world("start").ok().out
    world("stop").ok()
    until(world.alone, 10, "it has ended")
    assert "not running" in world("stop").ok().out
    assert (tmp_path / "asked").read_text().splitlines() == ["start some-unit", "stop some-unit"]


def test_what_systemd_refuses_is_said(world: World, program: Program, tmp_path: Path) -> None:
    systemctl(program, tmp_path, REFUSES)
    world.config.write_text('unit = "some-unit"\n' + world.config.read_text())
    said = world("start").exits(1).err
    assert "systemctl start some-unit: Failed to start it: Access denied." in said
    assert "journalctl -u some-unit" in said

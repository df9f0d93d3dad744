"""`bucardo_ctl` with a daemon that runs: kicks that are waited for, files, mails, and what a stop file does."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.fixtures import processes
from tests.fixtures.bucardo import Ctl
from tests.fixtures.nodes import NodeFactory
from tests.fixtures.smtp import serving
from tests.fixtures.wait import until

SCHEMA = "create table t (id int primary key, v text)"


@pytest.fixture
def running(ctl: Ctl, node_factory: NodeFactory) -> Iterator[Ctl]:
    """A sync `s` from master to slave, ready to be started; the daemon is ended afterwards."""
    processes.adopt_orphans()
    for name in ("master", "slave"):
        ctl.add_db(node_factory(name, schema=SCHEMA))
    ctl("add table t db=master herd=h")
    ctl("add sync s source=h targetdb=slave type=pushdelta")
    ctl(f"set piddir={ctl.folder}/run")
    yield ctl
    ctl("stop")
    processes.adopt_orphans(False)


def pid_of(ctl: Ctl) -> int:
    return int((ctl.folder / "run/bucardo.mcp.pid").read_text())


def test_commands_speak_with_the_daemon(running: Ctl) -> None:
    ctl = running
    printed = ctl("start because we can")
    lines = ["Checking for existing processes", f"Removing {ctl.folder}/run/fullstopbucardo", "Starting Bucardo"]
    assert printed.splitlines() == lines
    assert ctl("ping") == f"OK: Got response from PID {pid_of(ctl)}\n"
    assert re.fullmatch(r"Kick s: \[\d+ s\] slave\(\d+s\) DONE!\n", ctl("kick s 0"))
    assert re.fullmatch(r"Kick s: .* DONE!\n", ctl("kick all delta 60 --notimer"))
    assert ctl("reload s") == "Reloading sync s...DONE!\n"
    assert ctl("reload_config 30").endswith("...DONE!\n")
    assert ctl("deactivate s 30") == "Deactivating sync s...OK\n"
    until(lambda: not (ctl.folder / "run/bucardo.ctl.sync.s.pid").exists(), 15, "its pid file has gone")
    assert ctl("activate s 30") == "Activating sync s...OK\n"
    assert "please deactivate it first" in ctl("remove sync s", 1)
    first = pid_of(ctl)
    assert ctl("restart").splitlines()[0] == f"Creating {ctl.folder}/run/fullstopbucardo ... Done"
    assert pid_of(ctl) != first
    assert (ctl.folder / "run/bucardo.restart.reason.log").read_text().endswith("| start | because we can\n")


def test_a_stop_file_stops_it(running: Ctl) -> None:
    running("start")
    pid = pid_of(running)
    (running.folder / "run/fullstopbucardo").touch()
    until(lambda: not processes.title(pid), 15, "the daemon has ended")
    assert not list((running.folder / "run").glob("bucardo.*.pid"))
    assert running("ping 0", 1).startswith("CRITICAL")


def test_a_failure_ends_a_kick_and_is_mailed(running: Ctl, node_factory: NodeFactory) -> None:
    target = next(node for node in node_factory.made if node.name == "slave")
    with serving() as server:
        running(f"set default_email_host={server.place} default_email_to=admin@x.org")
        running("start")
        until(lambda: any("Bucardo started" in text for text in server.mails), 15, "the start is mailed")
        name = target.database.dbname
        target.server.execute(f"alter database {name} allow_connections false")
        target.server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        assert "KILLED!" in running("kick s 60", 2)
        until(lambda: any('sync "s" failed' in text for text in server.mails), 15, "the failure is mailed")
        (text,) = (text for text in server.mails if "failed" in text)
        assert "To: slave" in text and "not currently accepting connections" in text
        assert "not currently accepting" in (running.folder / "run/bucardo.warning.log").read_text()
        running("stop")
        assert any("Bucardo stopped" in text for text in server.mails)


def test_a_host_that_is_not_ours_starts_nothing(running: Ctl) -> None:
    running("set host_safety_check=^nobodys-host$")
    assert "host_safety_check" in running("start", 1)
    until(lambda: not running.daemon_pid(), 15, "nothing runs")

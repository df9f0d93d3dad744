"""What goes wrong with `provision` on one machine: one sentence each, nothing half done, the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import provision
from tests.fixtures import processes
from tests.fixtures.cli import Program
from tests.fixtures.local_lab import HOSTS, NOBODY, LocalLab, OrdinaryUser, lab_folder, task_results
from tests.fixtures.wait import until


@pytest.fixture
def lab() -> Iterator[LocalLab]:
    """A lab on which nothing has been done."""
    folder = lab_folder()
    made = LocalLab(folder, Program(folder))
    yield made
    made.close()


@pytest.fixture
def users_lab() -> Iterator[LocalLab]:
    """The same, for an ordinary user."""
    folder = lab_folder()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    made = LocalLab(folder, OrdinaryUser(folder))
    yield made
    made.close()


KILL_AT = (
    "copy PostgreSQL 16",
    "create data directory",
    "pg_hba.conf",
    "start the server",
    "create role bucardo",
    "create database test1",
    "fill pgbench tables in test1",
    "create the replicator's catalog",
    "declare 3 databases",
    "start the replicator's daemon",
)
"""Steps, in the order in which a fresh lab takes them."""


def kill_at(lab: LocalLab, step: str, word: str = "deploy", *options: str) -> None:
    """Run a command, and kill it with SIGKILL as soon as it begins a step."""
    log = lab.folder / "killed.out"
    log.write_text("")
    process = lab.program.start("provision", word, lab.inventory, *options, "--json", log=log)
    until(lambda: begun(log, step) or process.poll() is not None, 60, f"the step {step!r} begins")
    assert process.poll() is None, f"it ended before {step!r}:\n{log.read_text()}"
    process.kill()
    process.wait()


def begun(log: Path, step: str) -> bool:
    lines = log.read_text().splitlines()
    return any(json.loads(line).get("event") == "step_began" and step in line for line in lines if line.endswith("}"))


def test_killed_at_any_point_and_run_again_it_ends_in_the_same_place(lab: LocalLab) -> None:
    for step in KILL_AT:
        kill_at(lab, step)
    result = lab.deploy("--proof").ok()
    assert "Everything is as declared" in result.out
    assert result.out.count("  equal") == 7
    assert lab.value("master", "select count(*) from pgbench_accounts") == 100_000
    for host in HOSTS:
        assert lab.value(host, "select count(*) from pg_namespace where nspname like 'pgherd_pgbench%'") == 0
        assert not (lab.state / host / "data.new").exists()
    assert "Nothing was changed." in lab.deploy("--no-proof").ok().out


def test_a_rebuild_that_is_killed_is_finished_by_the_next_deploy(lab: LocalLab) -> None:
    lab.deploy().ok()
    assert lab.value("master2", "update pgbench_tellers set filler = 'kept' where tid = 1 returning tid") == 1
    kill_at(lab, "remove ", "rebuild", "--limit", "master2", "--yes")
    result = lab.deploy("--proof").ok()
    assert result.out.count("  equal") == 7
    query = "select trim(filler) from pgbench_tellers where tid = 1"
    assert [lab.value(host, query) for host in HOSTS] == ["kept"] * 3


def test_fabric_runs_a_stage_on_a_host(lab: LocalLab) -> None:
    lab.deploy("--no-proof", "--tags", "postgresql", "--limit", "slave").ok()
    stage = ("-r", Path(provision.__file__).parent, "-c", "tasks", "-H", "slave")
    first = lab.program("fab", *stage, "roles", f"--inventory={lab.inventory}").ok()
    assert "create role bucardo" in first.out
    assert lab.program("fab", *stage, "roles", f"--inventory={lab.inventory}").ok().out == ""
    wrong = lab.program("fab", *stage[:-1], "nobody", "roles", f"--inventory={lab.inventory}").exits(2)
    assert "has no host nobody" in wrong.err
    assert "Traceback" not in wrong.err


def test_interrupted_it_stops_between_steps_and_says_where_it_was(lab: LocalLab) -> None:
    log = lab.folder / "provision.out"
    process = lab.program.start("provision", "deploy", lab.inventory, log=log)
    until(lambda: log.exists() and "create folder" in log.read_text(), 60, "it has begun")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    said = log.read_text()
    assert "stopped after: " in said
    assert "Interrupted; what was begun has ended." in said
    assert "Traceback" not in said
    lab.deploy("--no-proof").ok()


def test_a_port_in_use_stops_that_host_and_no_other(lab: LocalLab) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((lab.addresses["slave"], lab.port))
        other.listen()
        result = lab.deploy().exits(1)
        found = task_results(result.out)
        assert found["slave", "postgresql"] == "failed"
        assert found["slave", "roles"] == found["", "replication"] == "skipped"
        assert found["master", "databases"] == found["master2", "databases"] == "changed"
        place = f"port {lab.port} of {lab.addresses['slave']} is in use by another program."
        assert place in result.out
        assert not (lab.state / "slave").exists(), "nothing was begun there"
    lab.deploy().ok()


def test_a_run_at_the_same_time_is_refused(lab: LocalLab) -> None:
    log = lab.folder / "first.out"
    first = lab.program.start("provision", "deploy", lab.inventory, "--no-proof", "--json", log=log)
    until(lambda: log.exists() and begun(log, "create data directory"), 60, "the first is at work on the hosts")
    first.send_signal(signal.SIGSTOP)  # it must not be done before the second has begun
    second = lab.deploy("--no-proof")
    first.send_signal(signal.SIGCONT)
    assert first.wait(120) == 0, log.read_text()
    assert second.code == 1
    assert "another provision run (process " in second.out


def test_three_mistakes_are_told_at_once_and_nothing_is_touched(lab: LocalLab) -> None:
    lab.edit("targets: test1_slave", "targets: test1_slav")
    lab.edit("shared_buffers: 64MB", "shared_buffers: [64]")
    lab.edit("scale: 1", "scale: many")
    lines = lab.inventory.read_text().splitlines()
    wanted = {
        next(i for i, line in enumerate(lines, start=1) if text in line)
        for text in ("targets: test1_slav}", "shared_buffers", "scale: many")
    }
    for word in ("deploy", "plan", "check"):
        said = lab(word).exits(2).err.splitlines()
        assert {int(line.split(":")[2]) for line in said} == wanted, said
    assert not lab.state.exists()


def test_a_host_with_no_route_is_planned_as_bare_and_not_deployed(lab: LocalLab) -> None:
    lab.edit("connection: local", "connection: ssh")
    lab.edit("source: embedded", "source: pgdg")
    lab.edit("scale: 1}", "scale: 1}\n    ssh: {port: 1, user: nobody}")
    planned = lab("plan").ok().out
    assert "it does not answer, so this is what a bare host would take" in planned
    assert "install postgresql16, postgresql16-server, postgresql16-contrib, postgresql16-plperl" in planned
    for word in ("check", "deploy"):
        result = lab(word).exits(4)
        assert "slave: repositories: " in result.out and "cannot be reached" in result.out


def test_an_edited_password_that_is_not_the_servers_is_told_in_one_sentence(lab: LocalLab) -> None:
    lab.deploy("--no-proof", "--tags", "postgresql,roles").ok()
    (lab.state / "secrets.yml").write_text("postgres: another-one\nbucardo: b-password\npgbench: p-password\n")
    (lab.state / "slave" / "passfile").write_text("*:*:*:postgres:wrong\n")
    result = lab.deploy("--no-proof", "--tags", "postgresql,roles").exits(1)
    (sentence,) = [line for line in result.out.splitlines() if line.startswith("slave: postgresql: ")]
    assert "the server refuses the password of postgres" in sentence
    assert "passfile.previous" in sentence


def test_a_server_that_cannot_start_shows_its_last_words(lab: LocalLab) -> None:
    lab.deploy("--no-proof", "--tags", "postgresql", "--limit", "slave").ok()
    os.kill(lab.postmaster("slave"), signal.SIGINT)
    until(lambda: not (lab.state / "slave/data/postmaster.pid").exists(), 30, "the server has stopped")
    (lab.state / "slave/data/global/pg_control").unlink()
    result = lab.deploy("--no-proof", "--tags", "postgresql", "--limit", "slave").exits(1)
    assert "slave: postgresql: start the server: " in result.out
    assert 'could not open file "global/pg_control"' in result.out or "pg_control" in result.out


def test_an_ordinary_user_gets_the_same(users_lab: LocalLab) -> None:
    lab = users_lab
    result = lab.deploy().ok()
    assert result.out.count("  equal") == 7
    uid = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert {Path(f"/proc/{lab.postmaster(host)}").stat().st_uid for host in HOSTS} == {uid}
    pointer = lab.folder / ".config/pgherd/replicator.toml"
    assert pointer.resolve() == lab.state / "replicator/replicator.toml"
    shown = lab.program("replicator", "list", "syncs").ok().out
    assert "benchdeltaalpha" in shown
    assert "Nothing was changed." in lab.deploy("--no-proof").ok().out
    lab("destroy", "--yes").ok()
    assert not lab.state.exists() and not pointer.parent.exists()
    assert lab.program.leftovers() == {}


def test_no_session_of_ours_keeps_a_server_from_outliving_the_command(lab: LocalLab) -> None:
    lab.deploy("--no-proof", "--tags", "postgresql", "--limit", "slave").ok()
    pid = lab.postmaster("slave")
    assert os.getsid(pid) == pid, "it leads a session of its own: no terminal's hangup reaches it"
    locked = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True, check=False).stdout
    assert "/locks/" not in locked, "it does not hold on to the lock of the run that started it"
    assert processes.title(pid)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(
            host=lab.addresses["slave"], port=lab.port, user="postgres", dbname="postgres", connect_timeout=5
        )

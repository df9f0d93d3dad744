"""`provision` on hosts of their own, by real sshds: how many commands a run takes, rolling runs, what is remembered of
hosts that failed, logs and reports, and two runs that meet on one host."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.inventory import load
from provision.secrets import Keeper
from provision.transport import connect
from tests.fixtures import remote, sshd
from tests.fixtures.cli import Result
from tests.fixtures.local_lab import task_results
from tests.fixtures.missing import give_up
from tests.fixtures.remote import RemoteSite

NAMES = ("one", "two", "three")
UNCHANGED = "Everything is as declared. Nothing was changed."
MOST_COMMANDS = 12


@pytest.fixture(scope="module")
def fresh() -> Iterator[tuple[RemoteSite, Result]]:
    """Three hosts, and what the first deploy printed."""
    if os.geteuid() != 0:
        give_up("only root can have hosts with a release of their own on one machine")
    try:
        site = remote.site(NAMES)
    except sshd.NoSshd as missing:
        give_up(missing)
    try:
        yield site, site.deploy("-v", "--report", site.folder / "first.json")
    finally:
        site.close()


@pytest.fixture
def site(fresh: tuple[RemoteSite, Result]) -> RemoteSite:
    found, first = fresh
    first.ok()
    found.write()
    return found


def sent(site: RemoteSite, before: dict[str, int]) -> dict[str, int]:
    return {name: count - before[name] for name, count in site.commands().items()}


def test_a_first_run_takes_few_commands(fresh: tuple[RemoteSite, Result]) -> None:
    site, first = fresh
    first.ok()
    assert all(count <= MOST_COMMANDS for count in site.commands().values()), site.commands()


def test_a_run_that_changes_nothing_takes_one_command_a_host(site: RemoteSite) -> None:
    site.deploy().ok()
    before = site.commands()
    assert UNCHANGED in site.deploy().ok().out
    assert sent(site, before) == dict.fromkeys(NAMES, 1)


def test_check_and_plan_take_one_command_a_host_too(site: RemoteSite) -> None:
    before = site.commands()
    site("check", "--tags", remote.TAGS).ok()
    assert sent(site, before) == dict.fromkeys(NAMES, 1)


def test_a_run_says_where_its_log_is_and_what_took_how_long(fresh: tuple[RemoteSite, Result]) -> None:
    site, first = fresh
    first.ok()
    report = json.loads((site.folder / "first.json").read_text())
    assert (report["schema"], report["command"], report["exit_code"]) == (1, "deploy", 0)
    hosts = {host["host"]: host for host in report["hosts"]}
    assert set(NAMES) <= set(hosts)
    assert {task["task"]: task["result"] for task in hosts["one"]["tasks"]}["postgresql"] == "changed"
    assert hosts["one"]["seconds"] > 0
    log = Path(report["log"])
    text = log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    assert re.search(
        r"^\d{4}-\d\d-\d\dT[\d:.]+Z one: postgresql: did in [\d.]+ s: start the server$", text, re.MULTILINE
    )
    assert "seconds in all" in first.out, "-v tells the time of each host"
    for secret in re.findall(r"^\w+: (\S{20,})$", (site.state / "secrets.yml").read_text(), re.MULTILINE):
        assert secret not in text + first.out + (site.folder / "first.json").read_text()


def test_a_rolling_run_waits_for_the_syncs_between_hosts(site: RemoteSite) -> None:
    site.write(extra="serial: 1")
    site.inventory.write_text(site.inventory.read_text().replace("16MB", "20MB"))
    before = {name: host.postmaster() for name, host in site.hosts.items()}
    result = site.deploy().ok()
    order = re.findall(r"^(\w+): postgresql: restart the server.* s\)$", result.out, re.MULTILINE)
    assert order == ["two", "three", "one"], "copies first, the source and the catalog last"
    lines = result.out.splitlines()
    for name in ("two", "three"):
        restarted = next(i for i, line in enumerate(lines) if line.startswith(f"{name}: postgresql: restart"))
        gate = next(i for i, line in enumerate(lines) if line.startswith(f"between batches: between batches: {name}"))
        following = next(i for i, line in enumerate(lines) if i > restarted and "restart the server" in line)
        assert restarted < gate < following
    assert all(host.postmaster() != before[name] for name, host in site.hosts.items())
    site.write()
    site.deploy().ok()


def test_a_batch_that_fails_stops_those_after_it(site: RemoteSite) -> None:
    text = site.inventory.read_text().replace("16MB", "18MB").replace("    two:\n", "    two:\n      serial_no: 1\n")
    site.inventory.write_text(text.replace(f"data_dir: {site.hosts['two'].data}", "data_dir: /proc/nowhere/data"))
    before = site.hosts["one"].postmaster()
    result = site.deploy("--serial", 1).exits(1)
    found = task_results(result.out)
    assert found["two", "postgresql"] == "failed"
    assert found["one", "postgresql"] == "skipped" and found["three", "postgresql"] == "skipped"
    assert "after two nothing more was begun" in result.out
    assert site.hosts["one"].postmaster() == before
    assert re.search(r"All that was said is in \S+-deploy\.log", result.out)
    assert (site.state / "failed-hosts").read_text().split() == list(NAMES)
    site.write()
    site.deploy("--limit", "@failed").ok()
    assert not (site.state / "failed-hosts").exists()


def test_an_unreachable_host_among_good_ones(site: RemoteSite) -> None:
    port = site.hosts["three"].server.port
    text = site.inventory.read_text().replace("16MB", "17MB")
    site.inventory.write_text(text.replace(f"port: {port}", "port: 1"))
    result = site.deploy().exits(4)
    found = task_results(result.out)
    assert found["one", "postgresql"] == "changed" and found["two", "postgresql"] == "changed"
    assert found["", "replication"] == "skipped" and "it needs three" in result.out
    assert re.search(
        r"^three: postgresql: .*cannot be reached.*Is it up, and the address right\?", result.out, re.MULTILINE
    )
    site.inventory.write_text(text)
    limited = site.deploy("--limit", "@failed").ok()
    assert {host for host, _ in task_results(limited.out)} <= {"three", ""}
    refused = site.deploy("--limit", "@failed").exits(2)
    assert "no host failed when it was last worked on" in refused.err
    site.write()
    site.deploy().ok()


def test_the_replicator_goes_on_when_the_host_does_not_matter_to_it(site: RemoteSite) -> None:
    text = site.inventory.read_text()
    site.inventory.write_text(text + "    spare: {address: 127.0.0.99, ssh: {port: 1}}\n")
    result = site.deploy().exits(4)
    assert task_results(result.out)["", "replication"] in ("ok", "changed")


def test_start_at_leaves_out_what_comes_before(site: RemoteSite) -> None:
    result = site("deploy", "--start-at", "roles", "--tags", remote.TAGS, "--no-proof").ok()
    assert "postgresql" not in {task for _, task in task_results(result.out)}
    wrong = site("deploy", "--start-at", "rolls").exits(2)
    assert "--start-at: there is no task 'rolls'" in wrong.err


def test_forks_limit_how_many_hosts_are_worked_on_at_once(site: RemoteSite) -> None:
    before = {name: len(host.server.log.splitlines()) for name, host in site.hosts.items()}
    site.deploy("--forks", 1).ok()
    logs = {name: host.server.log.splitlines()[before[name] :] for name, host in site.hosts.items()}
    assert all(any("Starting session" in line for line in lines) for lines in logs.values())


def test_two_runs_from_two_machines_never_meet_on_one_host(site: RemoteSite) -> None:

    host = load(site.inventory).host("one")
    other = connect(host, Keeper(site.folder / "none"), lock=0)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        other.run("echo held; sleep 4", on_line=lambda _: held.set())
        done.set()

    try:
        assert other.run("[ -e /proc/self/fd/9 ] || echo held").out == "held\n", "daemons inherit no lock"
        for _ in range(2):  # between its scripts as well as during one
            result = site.deploy("--limit", "one").exits(1)
            assert re.search(
                r"^one: .*another provision run \(\S+@\S+, process \d+, since [\d:]+ UTC\)", result.out, re.M
            )
            if not held.is_set():
                threading.Thread(target=hold).start()
                assert held.wait(20)
    finally:
        assert done.wait(20)
        other.close()
    site.deploy("--limit", "one").ok()


def test_a_step_that_a_killed_run_left_running_is_waited_for(site: RemoteSite) -> None:
    marker = site.folder / "one" / "step-ended"
    holder = f"""
from pathlib import Path
from provision.inventory import load
from provision.secrets import Keeper
from provision.transport import connect
host = connect(load({str(site.inventory)!r}).host("one"), Keeper(Path("/nonexistent")), lock=0)
host.run("echo begun; sleep 4; touch {marker}", on_line=lambda _: print("begun", flush=True))
"""
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    site.deploy("--limit", "one").ok()
    assert marker.exists(), "the next run began when the step had ended"


def test_only_thirty_logs_are_kept(site: RemoteSite) -> None:
    folder = site.state / "logs"
    for number in range(40):
        (folder / f"20200101T0000{number:02}-deploy.log").touch()
    site.deploy("--limit", "one").ok()
    kept = sorted(folder.glob("*.log"))
    assert len(kept) == 30 and not kept[-1].name.startswith("2020")


def test_mistakes_of_a_first_time_user_are_a_sentence_each_and_the_others_finish(site: RemoteSite) -> None:
    text = site.inventory.read_text().replace("16MB", "19MB")
    two, three = site.hosts["two"].server, site.hosts["three"].server
    none = site.folder / "none"
    none.write_text(f"Host *\n  IdentityFile {two.user_key}\n  UserKnownHostsFile {site.folder}/no_known_hosts\n")
    text = text.replace(f"config: {two.config}", f"config: {none}")
    text = text.replace(f"port: {three.port},", f"port: {three.port}, user: nobody-we-know,")
    site.inventory.write_text(text)
    result = site.deploy().exits(4)
    assert task_results(result.out)["one", "postgresql"] == "changed"
    sentences = [
        line for line in result.out.splitlines() if line.startswith(("two: postgresql: ", "three: postgresql: "))
    ]
    assert len(sentences) == 2
    assert "is not in known_hosts. Look at it and accept it with `provision trust INVENTORY`." in sentences[0]
    assert "refuses the login of nobody-we-know. Check ssh.user, ssh.key_file and the agent" in sentences[1]
    assert re.search(r"^Not as declared: two, three failed\. \d changes made\. Mend that", result.out, re.MULTILINE)
    site.write()
    site.deploy().ok()


def test_the_doctor_on_hosts(site: RemoteSite) -> None:
    found = [json.loads(line) for line in site("doctor", "--json").out.splitlines()]
    of_one = {finding["check"]: finding for finding in found if finding["place"] == "one"}
    assert [
        of_one[check]["verdict"] for check in ("name", "port", "host key", "login", "release", "clock", "root")
    ] == ["ok"] * 7
    assert "our server's" in of_one["port"]["said"] or of_one["port"]["said"] == "fine"
    site.inventory.write_text(site.inventory.read_text().replace(f"port: {site.hosts['two'].server.port}", "port: 1"))
    shown = site("doctor").exits(4).out
    assert re.search(r"^  away  port +.*cannot be reached", shown, re.MULTILINE)
    site.write()


def test_facts_are_readable_and_json(site: RemoteSite) -> None:
    shown = site("facts", "--tags", "postgresql", "--limit", "one").ok().out
    assert shown.startswith("one (127.0.0.31): AlmaLinux 9, ")
    assert re.search(r"^    data directory \S+: running, version 15$", shown, re.MULTILINE)
    found = [json.loads(line) for line in site("facts", "--tags", "postgresql", "--json").ok().out.splitlines()]
    assert {line["host"] for line in found} == set(NAMES)
    assert next(line for line in found if line["resource"] == "traits")["facts"][0]["release"] == 9

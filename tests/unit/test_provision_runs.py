"""What a run is about: which tasks, which hosts in which batches, which failed before; what its log and report hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provision.apply.batches import batches
from provision.apply.events import Outcome, PlaceEnded, StepBegan, StepEnded, StepFailed, StepSaid, TaskResult
from provision.apply.jobs import Job, together
from provision.apply.remembered import FailedHosts
from provision.apply.stop import Stop
from provision.errors import InputError
from provision.inventory import Inventory, load
from provision.plan import chosen_tasks
from provision.render.logfile import KEPT, LogFile
from provision.render.report import Report
from provision.render.summary import summary, write
from provision.tasks import REPLICATION, TASKS

INVENTORY = """\
all:
  vars:
    state_dir: state
    replication:
      catalog: {host: boss}
      databases: {x: {host: source}, y: {host: copy}, z: {host: boss}}
      herds: {h: {database: x, tables: [t]}, m: {database: z, tables: [u]}}
      syncs:
        s: {type: pushdelta, source: h, targets: y}
        w: {type: swap, source: m, targets: x}
  hosts: {boss: , source: , copy: , aside: }
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    (tmp_path / "state").mkdir()
    return load(tmp_path / "hosts.yml")


def names(inventory: Inventory, serial: int) -> list[list[str]]:
    return [[host.name for host in batch] for batch in batches(inventory.hosts, serial, inventory.replication)]


def test_batches_begin_with_copies_and_end_with_the_catalog(inventory: Inventory) -> None:
    assert names(inventory, 0) == [["boss", "source", "copy", "aside"]]
    assert names(inventory, 1) == [["copy"], ["aside"], ["source"], ["boss"]]
    assert names(inventory, 3) == [["copy", "aside", "source"], ["boss"]]


def test_tasks_from_one_on() -> None:
    known = [*TASKS, REPLICATION]
    assert chosen_tasks([], "postgresql") == tuple(known[known.index("postgresql") :])
    assert chosen_tasks(["base", "roles"], "ntp") == ("roles",)
    with pytest.raises(InputError, match="there is no task 'rolls'"):
        chosen_tasks([], "rolls")
    with pytest.raises(InputError, match="none of the tasks"):
        chosen_tasks(["base"], "roles")


def test_serial_is_a_number_of_hosts(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("all: {vars: {serial: 2}, hosts: {a: }}\n")
    assert load(path).serial == 2
    path.write_text("all: {vars: {serial: some}, hosts: {a: }}\n")
    with pytest.raises(InputError, match="found 'some', expected a number of hosts"):
        load(path)


def ended(host: str, outcome: Outcome, code: int = 0) -> PlaceEnded:
    return PlaceEnded(host, (TaskResult(host, "base", outcome, message="why"),), code, seconds=1.5)


def test_failed_hosts_are_those_not_as_declared_since_last(inventory: Inventory) -> None:
    failed = FailedHosts(inventory)
    failed.remember([ended("boss", Outcome.FAILED, 1), ended("copy", Outcome.SKIPPED), ended("source", Outcome.OK)])
    assert failed.names() == ["boss", "copy"]
    assert failed.pattern("@failed,aside") == "boss,copy,aside"
    failed.remember([ended("copy", Outcome.CHANGED), ended("source", Outcome.FAILED, 4)])
    assert failed.names() == ["boss", "source"], "of boss nothing new is known"
    failed.remember([ended("boss", Outcome.OK), ended("source", Outcome.OK)])
    assert not failed.path.exists()
    with pytest.raises(InputError, match="no host failed when it was last worked on"):
        failed.pattern("@failed")


def test_a_file_of_hosts(inventory: Inventory, tmp_path: Path) -> None:
    (tmp_path / "some").write_text("# those\nboss\ncopy\n")
    assert FailedHosts(inventory).pattern(f"@{tmp_path / 'some'}") == "boss,copy"
    with pytest.raises(InputError, match="No such file"):
        FailedHosts(inventory).pattern(f"@{tmp_path / 'none'}")


def mask(text: str) -> str:
    return text.replace("hunter2", "***")


def test_a_log_has_everything_but_secrets(tmp_path: Path) -> None:
    log = LogFile(tmp_path, "deploy", mask)
    log.quiet(frozenset(["one"]))
    log.write(StepBegan("one", "base", "set hostname one", 1, 2))
    log.write(StepSaid("one", "chatter of a program"))
    log.write(StepEnded("one", "base", "set hostname one", 0.25, ("+one", "-hunter2")))
    log.write(StepFailed("one", "ntp", "install chrony", 2.0, "line 1\nline 2 hunter2"))
    log.write(ended("one", Outcome.FAILED, 1))
    log.close()
    text = log.path.read_text()
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in text and "chatter" not in text
    lines = [line.partition("Z ")[2] or line for line in text.splitlines()]
    assert lines == [
        "one: base: begins 1 of 2: set hostname one",
        "one: base: did in 0.25 s: set hostname one",
        "    +one",
        "    -***",
        "one: ntp: FAILED after 2.00 s: install chrony",
        "    line 1",
        "    line 2 ***",
        "one: base: failed, 0 changes, 0.00 s: why",
        "one: ended with 1 after 1.50 s",
    ]


def test_old_logs_go(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for number in range(KEPT + 5):
        (tmp_path / "logs" / f"20200101T0000{number:02}-deploy.log").touch()
    log = LogFile(tmp_path, "deploy", mask)
    log.close()
    left = sorted((tmp_path / "logs").iterdir())
    assert len(left) == KEPT and log.path in left


def test_a_report_is_one_object_without_secrets(tmp_path: Path) -> None:
    report = Report(order=("one", "two"))
    report.take(ended("two", Outcome.FAILED, 4))
    report.take(PlaceEnded("one", (TaskResult("one", "base", Outcome.CHANGED, 2, 0.5, "hunter2"),), 0, seconds=1.0))
    write(tmp_path / "report.json", summary(report, command="deploy", inventory="lab"), mask)
    found = json.loads((tmp_path / "report.json").read_text())
    assert (found["schema"], found["command"], found["exit_code"], found["changes"]) == (1, "deploy", 4, 2)
    assert [(host["host"], host["code"], host["seconds"]) for host in found["hosts"]] == [
        ("one", 0, 1),
        ("two", 4, 1.5),
    ]
    assert found["hosts"][0]["tasks"][0] == {
        "task": "base",
        "result": "changed",
        "changes": 2,
        "seconds": 0.5,
        "message": "***",
    }
    with pytest.raises(InputError, match="--report"):
        write(tmp_path / "no" / "report.json", {}, mask)


def test_no_more_jobs_run_at_once_than_were_allowed() -> None:
    import threading

    running, most, guard, met = 0, 0, threading.Lock(), threading.Event()

    def work(_tell: object) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
            if running == 2:
                met.set()
        assert met.wait(20), "two do run at once"
        with guard:
            running -= 1

    list(together([Job(str(number), work) for number in range(8)], Stop(), 2))
    assert most == 2

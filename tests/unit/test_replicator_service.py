"""The replicator on a host: what is wanted of which host, what its resources change, which wheels fit."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.change import Note
from provision.errors import HostFailed
from provision.facts import Facts, NotYet, PathFact, text_of
from provision.inventory import Inventory, load
from provision.plan import items
from provision.resources import (
    Daemon,
    Environment,
    Former,
    Gone,
    Interpreter,
    NoDaemon,
    NoPackages,
    OnlyCurrent,
    Timer,
)
from provision.resources.daemons import DaemonFact, TimerFact
from provision.resources.environment import PYTHON
from provision.tasks import Site, replicator
from provision.tasks.service import Service
from provision.wheelhouse import Bundle, Target
from provision.wheelhouse.needs import pins
from provision.wheelhouse.own import own_wheel

LAB = Path(__file__).parents[2] / "inventories" / "lab.yml"
EL9 = Target("/usr/bin/python3.11", (3, 11), "x86_64", 34)


class Given(Facts):
    """Facts as a test gives them."""

    def __init__(self, values: Mapping[Any, object]) -> None:
        super().__init__()
        self._values = dict(values)

    def __getitem__(self, probe: Any) -> Any:
        return self._values[probe]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.of(inventory(tmp_path))


def inventory(folder: Path, **replication: object) -> Inventory:
    tree = yaml.safe_load(LAB.read_text())
    tree["all"]["vars"]["state_dir"] = str(folder / "state")
    tree["all"]["vars"]["replication"] |= replication
    path = folder / "lab.yml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return load(path)


def wanted(site: Site, host: str) -> list[str]:
    found = items(site.node(site.inventory.host(host)), ["replicator"])
    return [item.resource.name for item in found]


# -- which host has what


def test_the_first_master_has_it_all(site: Site) -> None:
    assert wanted(site, "master") == [
        "Python",
        "account pgherd",
        "programs in /opt/pgherd",
        "file /usr/local/bin/replicator",
        "file /usr/local/bin/bucardo_ctl",
        "file /etc/sudoers.d/pgherd",
        "folder /etc/pgherd",
        "file /etc/pgherd/replicator.toml",
        "file /etc/pgherd/root.crt",
        "file /etc/pgherd/passfile",
        "file /etc/systemd/system/pgherd-replicator.service",
        "service pgherd-replicator",
        "nothing old in /opt/pgherd",
        "file /etc/systemd/system/pgherd-purge.service",
        "file /etc/systemd/system/pgherd-purge.timer",
        "timer pgherd-purge",
    ]


def test_other_hosts_have_nothing_left_of_it(site: Site) -> None:
    assert wanted(site, "slave") == ["nothing of ours that /etc/pgherd/replicator.toml stands for"]


def test_where_this_machine_runs_it_no_host_has_it(tmp_path: Path) -> None:
    elsewhere = Site.of(inventory(tmp_path, runs_on="control", allow_from="192.0.2.1"))
    assert wanted(elsewhere, "master") == wanted(elsewhere, "slave")
    assert len(wanted(elsewhere, "master")) == 1


def test_its_files_hold_no_more_than_it_needs(site: Site) -> None:
    declared = site.inventory.replication
    assert declared
    service = Service(site.deploying(), declared)
    users = [line.split(":")[3] for line in service.passfile.splitlines()]
    assert users == ["bucardo"] * 3, "the superuser's password stays here"
    assert "password" not in service.config
    assert set(service.identity.splitlines()) <= set(service.config.splitlines())


def test_the_unit_lets_it_do_no_more_than_it_must(site: Site) -> None:
    unit = site.templates.render(
        "pgherd-replicator.service.j2", site.inventory.hosts[0], account="pgherd", program="/p", config="/c", after=""
    )
    lines = unit.splitlines()
    for line in (
        "Type=notify",
        "User=pgherd",
        "ExecStart=/p --config /c start --foreground",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "RestartPreventExitStatus=2",
        "WantedBy=multi-user.target",
    ):
        assert line in lines


# -- what changes


def summaries(resource: Any, facts: Mapping[Any, object]) -> list[str]:
    return [change.summary for change in resource.plan(Given(facts))]


def test_python_is_installed_only_where_none_will_do() -> None:
    python = Interpreter("python3.11", "dnf", "EL 9")
    assert summaries(python, {PYTHON: EL9}) == []
    assert summaries(python, {PYTHON: None}) == ["install python3.11"]


def test_a_release_without_such_a_python_is_told_where_else() -> None:
    with pytest.raises(HostFailed) as caught:
        Interpreter("", "yum", "EL 7").plan(Given({PYTHON: None}))
    assert str(caught.value) == (
        "the replicator needs Python 3.11 or later, which EL 7 does not have. Let another host run it, or this"
        " machine: replication.runs_on: HOST or control."
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", None),
        ("/usr/bin/python3.12 3 12 aarch64 2.39", Target("/usr/bin/python3.12", (3, 12), "aarch64", 39)),
    ],
)
def test_what_a_host_says_of_its_python(said: str, expected: Target | None) -> None:
    assert (PYTHON.parse(said) if said else PYTHON.parse("")) == expected


class Wheels:
    """What is to be installed, and what was asked of it."""

    digest = "abc"
    index = ""

    def archive(self, note: Note) -> bytes:
        note("making it")
        return b"a tar"


environment = Environment(folder="/opt/x", program="tool", source=lambda _: Wheels())
_, CURRENT = environment.probes()


def test_programs_are_installed_once_for_each_state() -> None:
    assert summaries(environment, {PYTHON: EL9, CURRENT: "abc"}) == []
    assert summaries(environment, {PYTHON: EL9, CURRENT: ""}) == ["install tool for Python 3.11 (x86_64) in /opt/x"]
    (change,) = environment.plan(Given({PYTHON: EL9, CURRENT: "old"}))
    assert (change.before, change.after) == ("old", "abc")
    with pytest.raises(NotYet):
        environment.plan(Given({PYTHON: None, CURRENT: ""}))


def test_nothing_is_fetched_before_a_step_has_its_turn() -> None:
    (change,) = environment.plan(Given({PYTHON: EL9, CURRENT: ""}))
    assert change.script == ""
    said: list[str] = []
    assert change.prepare
    script = change.prepare(said.append)
    assert said == ["making it"]
    assert "--no-index" in script and "YSB0YXI=" in script
    assert script.index("--version") < script.index("mv -fT"), "it is tried before it takes its place"


daemon = Daemon(unit="x", began="/run/x.pid", files=("/etc/x.conf",))


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (DaemonFact(), ["start x at boot"]),
        (DaemonFact(enabled=True, active="active"), []),
        (DaemonFact(enabled=True, active="failed", newer="/etc/x.conf"), []),  # the hand-over starts it
        (DaemonFact(True, "active", "/etc/x.conf"), ["restart x: /etc/x.conf is newer than what runs"]),
        (DaemonFact(True, "activating", "/etc/x.conf"), ["restart x: /etc/x.conf is newer than what runs"]),
    ],
)
def test_a_daemon_runs_with_what_its_files_hold(fact: DaemonFact, expected: list[str]) -> None:
    assert summaries(daemon, {daemon.state: fact}) == expected


def test_what_systemd_says_of_a_daemon() -> None:
    parse = daemon.state.parse
    assert parse("UnitFileState=enabled\nActiveState=active\n") == DaemonFact(True, "active")
    assert parse("UnitFileState=\nActiveState=inactive\nnewer=/etc/a") == DaemonFact(False, "inactive", "/etc/a")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("UnitFileState=\nActiveState=inactive\nNeedDaemonReload=no\n", ["start the timer x now and at boot"]),
        ("UnitFileState=enabled\nActiveState=active\nNeedDaemonReload=no\n\nNeedDaemonReload=no\n", []),
        (
            "UnitFileState=enabled\nActiveState=active\nNeedDaemonReload=no\n\nNeedDaemonReload=yes\n",
            ["start the timer x by its new files"],
        ),
    ],
)
def test_a_timer_goes_off_as_its_files_say(said: str, expected: list[str]) -> None:
    timer = Timer("x")
    assert summaries(timer, {timer.state: TimerFact.parse(said)}) == expected


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (DaemonFact(), []),
        (DaemonFact(active="failed"), []),
        (DaemonFact(enabled=True), ["stop x, now and at boot"]),
        (DaemonFact(active="activating"), ["stop x, now and at boot"]),
    ],
)
def test_no_daemon(fact: DaemonFact, expected: list[str]) -> None:
    gone = NoDaemon("x")
    (probe,) = gone.probes()
    assert summaries(gone, {probe: fact}) == expected


def test_packages_go_by_name() -> None:
    gone = NoPackages(packages=("a", "b"))
    (probe,) = gone.probes()
    assert summaries(gone, {probe: ()}) == []
    assert summaries(gone, {probe: ("b",)}) == ["remove b"]


def test_only_the_current_programs_stay() -> None:
    tidy = OnlyCurrent("/opt/x")
    (probe,) = tidy.probes()
    assert summaries(tidy, {probe: ()}) == []
    (change,) = tidy.plan(Given({probe: ("old", "older")}))
    assert change.script == "rm -rf /opt/x/old /opt/x/older\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('install = "ours"\nport = 1\nmore = 2\n', ["remove /etc/x"]),
        ('install = "theirs"\nport = 1\n', []),
        (None, []),
    ],
)
def test_what_is_another_sites_stays(text: str | None, expected: list[str]) -> None:
    part = Gone("/etc/x")
    former = Former("/etc/x/conf", 'install = "ours"\nport = 1\n', (part,))
    facts = {text_of("/etc/x/conf"): PathFact("file" if text else "absent", text=text), part.probes()[0]: True}
    assert summaries(former, facts) == expected


def test_destroy_leaves_nothing_on_the_host_that_runs_it(site: Site) -> None:
    nodes = {host.name: site.node(host) for host in site.inventory.hosts}
    names = [resource.name for resource in replicator.removed(nodes["master"])]
    assert names[:2] == ["no service pgherd-replicator", "no service pgherd-purge.timer"]
    assert names[-2:] == ["no /etc/pgherd", "no account pgherd of ours"], "what says whose it is goes last"
    assert len(list(replicator.removed(nodes["slave"]))) == 1


# -- wheels


def test_wheels_are_chosen_for_the_hosts_python() -> None:
    assert EL9.platforms[0] == "manylinux_2_34_x86_64"
    assert "manylinux_2_17_x86_64" in EL9.platforms and "manylinux2014_x86_64" in EL9.platforms
    assert "manylinux_2_35_x86_64" not in EL9.platforms
    assert EL9.tags[:4] == ["--implementation", "cp", "--python-version", "3.11"]
    assert "cp311" in EL9.tags


def test_the_digest_tells_states_apart_and_asks_nobody(tmp_path: Path) -> None:
    bundle = Bundle(EL9, tmp_path)
    assert bundle.digest == Bundle(EL9, tmp_path / "elsewhere").digest
    others = [
        Bundle(Target("/usr/bin/python3", (3, 12), "x86_64", 34), tmp_path),
        Bundle(EL9, tmp_path, index="https://pypi.example.org/simple"),
    ]
    assert len({bundle.digest, *(other.digest for other in others)}) == 3
    assert not list(tmp_path.iterdir())


def test_our_own_wheel_holds_the_replicator_alone_and_is_the_same_each_time() -> None:
    name, data = own_wheel(["psycopg"])
    assert own_wheel(["psycopg"]) == (name, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        record = archive.read(next(path for path in names if path.endswith("RECORD"))).decode()
    assert "replicator/cli/__init__.py" in names
    assert any(path.endswith(".sql") for path in names)
    assert not [path for path in names if path.startswith("provision") or "__pycache__" in path]
    assert len(record.splitlines()) == len(names)


def test_everything_that_the_replicator_needs_is_pinned() -> None:
    found = pins()
    assert {"psycopg", "psycopg-binary", "setproctitle", "typer", "rich", "typing-extensions"} <= set(found)
    assert not {"fabric", "paramiko", "jinja2"} & set(found)

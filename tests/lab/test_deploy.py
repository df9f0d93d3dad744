"""Three bare hosts and one command: what inventories/lab.yml says is then so on real machines, as seen from outside.

The tests follow each other as an operator's days do: the first run, a look around, a second run, drift, load.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import testinfra

from tests.fixtures.cli import Result
from tests.lab.agreement import await_agreement
from tests.lab.control import INVENTORY, Control
from tests.lab.lab import Lab

Provision = Callable[..., Result]

MOST_COMMANDS = 12
"""What a first run may send to a host, besides the package manager's own work."""


@pytest.fixture(scope="module")
def deployed(provision: Provision) -> Result:
    """The first run, on bare hosts."""
    return provision("deploy", seconds=280)


@pytest.fixture
def inspect(lab: Lab) -> Iterator[Callable[[str], Any]]:
    """Looks at a host from outside by testinfra: `inspect("slave").service("chronyd").is_running`."""
    with lab.inside():
        yield lambda name: testinfra.get_host(f"ssh://root@{name}", ssh_config=str(lab.places.ssh_config))


def test_the_inventory_is_the_one_that_is_shipped(control: Control) -> None:
    assert control.inventory.read_bytes() == INVENTORY.read_bytes()


def test_the_first_run_makes_what_is_declared(lab: Lab, deployed: Result) -> None:
    assert "Everything is as declared" in deployed.ok().out
    assert "a second look found nothing left to do" in deployed.out
    assert {host.name: host.commands() for host in lab if host.commands() > MOST_COMMANDS} == {}


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("name", ["master", "slave", "master2"])
def test_a_node_from_outside(name: str, lab: Lab, inspect: Callable[[str], Any]) -> None:
    host = inspect(name)
    assert host.run("grep -h ^gpgcheck /etc/yum.repos.d/pgdg*.repo").stdout.startswith("gpgcheck=1")
    for package in ("postgresql15-server", "postgresql15-contrib", "chrony"):
        assert host.package(package).is_installed
    for service in ("postgresql-15", "chronyd"):
        assert host.service(service).is_running
        assert host.service(service).is_enabled
    assert host.socket(f"tcp://{lab[name].address}:5432").is_listening
    assert not host.socket("tcp://0.0.0.0:5432").is_listening
    data = host.file("/var/lib/pgsql/15/data")
    assert (data.user, data.group, data.mode) == ("postgres", "postgres", 0o700)
    for file in ("pg_hba.conf", "postgresql.conf", "server.key"):
        assert host.file(f"/var/lib/pgsql/15/data/{file}").mode == 0o600


@pytest.mark.usefixtures("deployed")
def test_the_replicator_is_a_service_of_the_first_master_alone(inspect: Callable[[str], Any]) -> None:
    master = inspect("master")
    service = master.service("pgherd-replicator")
    assert service.is_running
    assert service.is_enabled
    assert master.user("pgherd").shell.endswith("/sbin/nologin")
    assert master.file("/etc/pgherd").mode & 0o007 == 0
    status = master.run("replicator status")
    assert status.rc == 0, status.stderr
    assert "benchswapgamma" in status.stdout
    for other in ("slave", "master2"):
        assert not inspect(other).file("/etc/systemd/system/pgherd-replicator.service").exists


@pytest.mark.usefixtures("deployed")
def test_the_second_run_changes_nothing_by_one_command_a_host(lab: Lab, provision: Provision) -> None:
    before = {host.name: host.commands() for host in lab}
    again = provision("deploy").ok()
    assert "Everything is as declared. Nothing was changed." in again.out
    assert {host.name: host.commands() - before[host.name] for host in lab} == dict.fromkeys(before, 1)


@pytest.mark.usefixtures("deployed")
def test_what_drifted_is_seen_and_mended(lab: Lab, provision: Provision, inspect: Callable[[str], Any]) -> None:
    slave = lab["slave"]
    slave.run("echo 'work_mem = 1MB' >>/var/lib/pgsql/15/data/postgresql.conf && systemctl reload postgresql-15")
    slave.run("systemctl disable -q --now chronyd")
    lab["master2"].run("runuser -u postgres -- psql -qc 'alter role bucardo nologin'")
    lab["master"].run("systemctl stop pgherd-replicator")
    provision("check").exits(3)
    mended = provision("deploy").ok()
    for where, what in (
        ("slave", "postgresql.conf"),
        ("slave", "chronyd"),
        ("master2", "bucardo"),
        ("replication", "daemon on master"),
    ):
        assert re.search(rf"^{where}: .*{what}", mended.out + mended.err, re.MULTILINE), mended.out
    provision("check").ok()
    assert inspect("slave").service("chronyd").is_running
    assert inspect("master").service("pgherd-replicator").is_running


@pytest.mark.usefixtures("deployed")
def test_two_masters_under_load_come_to_agree(lab: Lab) -> None:
    master = lab["master"]

    def load(name: str) -> str:
        return lab[name].run("runuser -u postgres -- pgbench -n -c 4 -T 5 test1 2>&1")

    with ThreadPoolExecutor(2) as pool:
        for said in pool.map(load, ("master", "master2")):
            assert "number of failed transactions: 0" in said
    # What master2 wrote into its own copy of the history after the last whole copy stays until the next one.
    master.run("replicator kick benchcopybeta --wait 60")
    await_agreement(master, 60)
    balance = "runuser -u postgres -- psql -Atc 'select sum(abalance) from pgbench_accounts' test1"
    assert len({host.run(balance) for host in lab}) == 1

"""A deploy meets what happens to real machines: it says so in a sentence, spares others, and ends well the next time.

The tests share three hosts and go from worse to better: hosts that cannot be deployed to, a power cut in the middle
of the first deploy, then a cluster whose hosts are cut off, run out of disk, lose power and are lost.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.fixtures.cli import Result
from tests.fixtures.wait import until
from tests.lab.agreement import await_agreement
from tests.lab.control import Control
from tests.lab.hosts import Machine
from tests.lab.image import ADMIN_PASSWORD
from tests.lab.lab import Lab

Provision = Callable[..., Result]
DEPLOY_SECONDS = 280

pytestmark = pytest.mark.timeout(900)  # a deploy, and then the patience of a slow machine


@contextmanager
def variables(control: Control, **changed: object) -> Iterator[None]:
    """Other variables for a while, beside the inventory."""
    file = control.inventory.parent / "group_vars" / "all.yml"
    before = file.read_text()
    file.write_text(yaml.safe_dump(yaml.safe_load(before) | changed))
    try:
        yield
    finally:
        file.write_text(before)


def sentence(result: Result, *words: str) -> str:
    """The one line of a result that has all these words; no traceback stands around it."""
    said = result.out + result.err
    assert "Traceback" not in said
    found = [line for line in said.splitlines() if all(word in line for word in words)]
    assert found, said
    return found[0]


def test_an_unreachable_host_among_good_ones(lab: Lab, provision: Provision) -> None:
    lab["master2"].blackhole()
    found = provision("facts")
    lab["master2"].heal()
    assert found.code == 4
    sentence(found, "master2", "cannot be reached")
    assert "master" in found.out
    assert "slave" in found.out


def test_a_wrong_sudo_password(control: Control, provision: Provision, tmp_path: Path) -> None:
    login = {"user": "admin", "host_keys": "accept-new", "key_file": str(control.lab.places.key)}
    for password, code in (("not that", 1), (ADMIN_PASSWORD, 0)):
        secret = tmp_path / "password"
        secret.write_text(password)
        text = yaml.safe_dump({"ssh": login}) + f"become: {{password: !command 'cat {secret}'}}\n"
        file = control.inventory.parent / "host_vars" / "slave.yml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        found = provision("facts", "--limit", "slave")
        shutil.rmtree(file.parent)
        assert (found.code == 0) is (code == 0), found.out + found.err
        assert password not in found.out + found.err
        if code:
            sentence(found, "slave", "password")


def test_a_host_key_that_changed(lab: Lab, provision: Provision) -> None:
    known = lab.places.known_hosts
    before = known.read_text()
    keys = {host.name: host.host_key for host in lab}
    known.write_text(before.replace(keys["slave"], keys["master"]))
    found = provision("facts", "--limit", "slave")
    known.write_text(before)
    assert found.code == 4
    sentence(found, "slave", "key", "known_hosts")


def test_a_key_of_the_repository_that_is_not_its_own(lab: Lab, control: Control, provision: Provision) -> None:
    other = str(lab.build.repository("distribution").public_key)
    pgdg = {"baseurl": "http://10.11.12.1:8080/pgdg/", "gpgkey": other}
    with variables(control, pgdg=pgdg):
        failed = provision("deploy", "--limit", "slave", seconds=DEPLOY_SECONDS)
    assert failed.code == 1
    assert "Traceback" not in failed.out + failed.err
    assert lab["slave"].attempt("rpm -q postgresql15-server").code == 1


def test_power_loss_in_the_middle_of_the_first_deploy(lab: Lab, control: Control, provision: Provision) -> None:
    slave = lab["slave"]
    deploying = control.start("provision", "deploy", control.inventory)
    until(lambda: slave.file("/var/lib/pgsql/15/data/PG_VERSION").exists(), 120, "the slave's server is being made")
    slave.power_loss()
    assert deploying.wait(DEPLOY_SECONDS) in (1, 4)
    said = (control.folder / "provision.out").read_text()
    assert "Traceback" not in said
    slave.start()
    assert "Everything is as declared" in provision("deploy", seconds=DEPLOY_SECONDS).ok().out
    assert "Nothing was changed" in provision("deploy", seconds=DEPLOY_SECONDS).ok().out


def psql(host: Machine, statement: str) -> str:
    """What a statement gives in test1, as superuser."""
    return host.run(f'runuser -u postgres -- psql -qAt -c "{statement}" test1')


@contextmanager
def load(host: Machine) -> Iterator[None]:
    """pgbench on a host for the while; what it was told is committed must be there afterwards."""
    before = int(psql(host, "select count(*) from pgbench_history"))
    bench = host.ssh("runuser -u postgres -- pgbench -n -c 2 -T 6 test1 2>&1")
    running = subprocess.Popen(bench, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        said, _ = running.communicate(timeout=60)
    (line,) = [line for line in said.splitlines() if line.startswith("number of transactions actually processed")]
    processed = int(line.rpartition(" ")[2].partition("/")[0])
    after = int(psql(host, "select count(*) from pgbench_history"))
    assert after == before + processed


@contextmanager
def writing(host: Machine) -> Iterator[None]:
    """Rows written one after the other for the while: every acknowledged one must be there afterwards."""
    insert = "insert into pgbench_history (tid, bid, aid, delta, mtime) values (1, 1, $i, 4711, now())"
    write_one = f'runuser -u postgres -- psql -qAtc "{insert}" test1 2>/dev/null && echo $i'
    loop = f"i=0; until [ -e /run/enough ]; do i=$((i + 1)); {write_one}; sleep 0.02; done"
    running = subprocess.Popen(host.ssh(loop), stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        host.run("touch /run/enough")
        said, _ = running.communicate(timeout=60)
    acknowledged = set(said.split())
    assert acknowledged
    assert acknowledged <= set(psql(host, "select aid from pgbench_history where delta = 4711").split())


def test_a_host_cut_off_and_back(lab: Lab) -> None:
    with load(lab["master"]):
        lab["slave"].blackhole()
        lab["master"].run("replicator status")
    lab["slave"].heal()
    await_agreement(lab["master"], 60)


def test_power_loss_in_the_middle_of_replication(lab: Lab) -> None:
    with load(lab["master"]):
        lab["slave"].power_loss()
        lab["slave"].start()
    await_agreement(lab["master"])


def test_power_loss_of_the_replicators_host(lab: Lab) -> None:
    master = lab["master"]
    psql(lab["master2"], "update pgbench_accounts set abalance = abalance + 1 where aid <= 1000")
    master.power_loss()
    master.start()
    await_agreement(lab["master"])


def test_a_full_disk(lab: Lab) -> None:
    slave, master = lab["slave"], lab["master"]
    slave.fill_disk()
    psql(master, "update pgbench_accounts set abalance = abalance + 1")
    until(
        lambda: "No space left" in master.attempt("COLUMNS=300 replicator status benchdeltaalpha").out, 30, "it says so"
    )
    slave.free_disk()
    await_agreement(lab["master"])


def test_a_rolling_restart_under_load(lab: Lab, control: Control, provision: Provision) -> None:
    servers = {host.name: host.run("systemctl show -p MainPID --value postgresql-15") for host in lab}
    postgresql = {"version": 15, "settings": {"max_connections": 120}}
    with variables(control, postgresql=postgresql), writing(lab["master"]):
        # The proof comes at the end of the test: whole copies are never equal while somebody keeps writing.
        rolled = provision("deploy", "--serial", "1", "--no-proof", seconds=DEPLOY_SECONDS)
    assert "Everything is as declared" in rolled.ok().out
    for host in lab:
        assert psql(host, "show max_connections") == "120"
        assert host.run("systemctl show -p MainPID --value postgresql-15") != servers[host.name]
    await_agreement(lab["master"])


def test_a_host_is_lost_and_rebuilt(lab: Lab, provision: Provision) -> None:
    slave = lab["slave"]
    slave.run("systemctl stop postgresql-15 && rm -rf /var/lib/pgsql/15/data")
    rebuilt = provision("rebuild", "--limit", "slave", "--yes", seconds=DEPLOY_SECONDS)
    assert "Everything is as declared" in rebuilt.ok().out
    await_agreement(lab["master"])

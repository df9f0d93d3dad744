"""inventories/balances.yml: pgbench's TPC-B on three masters at once, after which every sum is the same everywhere."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.fixtures.binaries import required
from tests.fixtures.cli import Program
from tests.fixtures.local_lab import INVENTORY, LocalLab, lab_folder
from tests.fixtures.wait import until

HOSTS = ("master", "master2", "master3")
SUMS = """
select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
       (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history),
       (select count(*) from pgbench_history)
"""


@pytest.fixture
def lab() -> Iterator[LocalLab]:
    folder = lab_folder()
    made = LocalLab(folder, Program(folder), INVENTORY.parent / "balances.yml", HOSTS)
    try:
        yield made
    finally:
        made.close()


def pgbench(lab: LocalLab, host: str, transactions: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(required(16).program("pgbench"), "-n", "-c", "2", "-t", str(transactions)),
            *("-h", lab.addresses[host], "-p", str(lab.port), "-U", "postgres", "bank"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**required(16).environment(), "PGPASSFILE": str(lab.state / "passfile"), "PATH": os.environ["PATH"]},
    )


def test_balances_add_up_on_three_masters(lab: LocalLab) -> None:
    deployed = lab.deploy().ok().out
    assert "a second look found nothing left to do" in deployed
    assert len(re.findall(r"  equal$", deployed, re.MULTILINE)) == 4
    before = lab.execute("master", SUMS, "bank")[0]
    traffic = [pgbench(lab, host, 250) for host in HOSTS]
    for each in traffic:
        output, _ = each.communicate()
        assert each.returncode == 0, output

    def sums() -> set[tuple[int, ...]]:
        return {tuple(map(int, lab.execute(host, SUMS, "bank")[0])) for host in HOSTS}

    def same_everywhere() -> bool:
        found = sums()
        return len(found) == 1 and next(iter(found))[4] == before[4] + 3 * 2 * 250

    until(same_everywhere, 60, "all three hold every transaction")
    ((accounts, tellers, branches, history, _),) = sums()
    assert accounts == tellers == branches == history
    verified = lab.program("replicator", "verify", "balances").ok().out
    assert "differ" not in verified and verified.count("  equal") == 4 * 3
    assert "No conflict is recorded." in lab.program("replicator", "conflicts", "list").ok().out

"""`provision` on one machine, from nothing to nothing: three nodes that replicate, looked at from outside.

The tests share one lab. Each begins with everything as declared, and leaves it so.
"""

from __future__ import annotations

import os
import pwd
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from provision.apply import Run, Stop, deploy
from provision.apply.events import PlaceEnded
from provision.inventory import load
from provision.plan import chosen_tasks
from provision.tasks import Site
from provision.transport import Local
from provision.transport import Result as ScriptResult
from tests.fixtures import processes
from tests.fixtures.cli import Program, Result
from tests.fixtures.local_lab import HOSTS, LocalLab, lab_folder, task_results
from tests.fixtures.wait import until

TASKS = ("postgresql", "roles", "databases")
UNCHANGED = "Everything is as declared. Nothing was changed."


@pytest.fixture(scope="module")
def fresh() -> Iterator[tuple[LocalLab, Result]]:
    """A lab, and what its first deploy printed."""
    folder = lab_folder()
    lab = LocalLab(folder, Program(folder))
    try:
        yield lab, lab.deploy("--diff")
    finally:
        lab.close()


@pytest.fixture
def lab(fresh: tuple[LocalLab, Result]) -> LocalLab:
    lab, first = fresh
    first.ok()
    if not lab.state.exists():  # after the test that destroys it, where tests are shared out between processes
        lab.deploy("--no-proof").ok()
    return lab


def as_declared(lab: LocalLab) -> None:
    """Deploy until nothing is left to do, which the second run has to say."""
    lab.deploy("--no-proof").ok()
    assert UNCHANGED in lab.deploy("--no-proof").ok().out


def test_first_deploy_reports_every_host_and_task(fresh: tuple[LocalLab, Result]) -> None:
    result = fresh[1]
    result.ok()
    found = task_results(result.out)
    assert {(host, task): found.get((host, task)) for host in HOSTS for task in TASKS} == {
        (host, task): "changed" for host in HOSTS for task in TASKS
    }
    assert found["", "replication"] == "changed"
    assert found["", "proof"] == "ok"
    assert "a second look found nothing left to do" in result.out
    assert "pgbench transactions on test1_master2 and test1_master" in result.out
    assert len(re.findall(r"  equal$", result.out, re.MULTILINE)) == 7, "each table of each sync is proven equal"
    assert "different" not in result.out


def test_no_secret_is_shown_or_stands_in_a_process_list(fresh: tuple[LocalLab, Result]) -> None:
    lab, result = fresh
    titles = " ".join(processes.title(pid) for pid in processes.descendants(os.getpid()))
    for secret in lab.secrets():
        assert secret not in result.out + result.err
        assert secret not in titles
    assert "SCRAM-SHA-256$4096" not in result.out
    for path in (lab.state / "secrets.yml", lab.state / "passfile"):
        assert path.stat().st_mode & 0o077 == 0


def test_servers_are_as_the_inventory_says(lab: LocalLab) -> None:
    for host in HOSTS:
        assert lab.value(host, "show data_checksums") == "on"
        assert lab.value(host, "show shared_buffers") == "64MB"
        assert lab.value(host, "show listen_addresses") == lab.addresses[host]
        assert lab.value(host, "show password_encryption") == "scram-sha-256"
        assert lab.value(host, "select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'") == 0
        assert processes.title(lab.postmaster(host)).startswith(str(lab.state))


def test_servers_run_under_an_unprivileged_account(lab: LocalLab) -> None:
    expected = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else os.geteuid()
    owners = {Path(f"/proc/{lab.postmaster(host)}").stat().st_uid for host in HOSTS}
    assert owners == {expected} and 0 not in owners


def test_the_replication_role_is_no_superuser_and_can_do_its_work(lab: LocalLab) -> None:
    query = (
        "select rolsuper, rolcreatedb, rolcreaterole, rolinherit, rolcanlogin from pg_roles where rolname = 'bucardo'"
    )
    for host in HOSTS:
        assert lab.execute(host, query) == [(False, False, False, True, True)]
        with lab.connect(host, user="bucardo") as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute("create temporary table t as select * from pgbench_branches")


def test_a_stranger_is_refused(lab: LocalLab) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        lab.connect("slave", user="nobody_we_know")
    with pytest.raises(psycopg.OperationalError, match=r"authentication failed|no password supplied"):
        psycopg.connect(host=lab.addresses["slave"], port=lab.port, dbname="test1", user="postgres", password="wrong")


def test_second_deploy_changes_nothing_and_says_so(lab: LocalLab) -> None:
    before = {host: (lab.postmaster(host), lab.value(host, "select pg_conf_load_time()")) for host in HOSTS}
    rows = lab.value("master", "select count(*) from pgbench_history")
    result = lab.deploy().ok()
    assert UNCHANGED in result.out
    assert set(task_results(result.out).values()) == {"ok"}
    assert {host: (lab.postmaster(host), lab.value(host, "select pg_conf_load_time()")) for host in HOSTS} == before
    assert lab.value("master", "select count(*) from pgbench_history") == rows, "no traffic where nothing has changed"


def test_a_run_that_changes_nothing_sends_one_command_to_each_host(
    lab: LocalLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: Counter[str] = Counter()

    class Counting(Local):
        def run(self, script: str, **options: Any) -> ScriptResult:
            sent[next(host for host in HOSTS if f"/{host}/" in script)] += 1
            return super().run(script, **options)

    monkeypatch.setattr("provision.apply.run.connect", lambda host, keeper, lock=None: Counting(lock))
    site = Site.of(load(lab.inventory)).deploying()
    run = Run(site, site.inventory.hosts, chosen_tasks(["postgresql", "roles", "databases"]), Stop())
    ended = [event for event in deploy(run) if isinstance(event, PlaceEnded)]
    assert all(place.settled for place in ended)
    assert sent == dict.fromkeys(HOSTS, 1)


def test_check_finds_nothing_to_do(lab: LocalLab) -> None:
    assert "Everything is as declared." in lab("check").ok().out


def test_drift_is_found_and_mended(lab: LocalLab) -> None:
    with (lab.state / "slave/data/postgresql.conf").open("a") as file:
        file.write("work_mem = '9MB'\n")
    (lab.state / "master/data/pg_hba.conf").write_text("host all all 0.0.0.0/0 trust\n")
    lab.execute("master2", "alter system set max_connections = 50")
    lab.execute("master2", "alter role bucardo superuser")
    lab.execute("slave", "revoke set on parameter session_replication_role from bucardo")
    found = lab("check", "--diff").exits(3).out
    assert "-work_mem = '9MB'" in found
    assert "-host all all 0.0.0.0/0 trust" in found
    assert "let max_connections be as in postgresql.conf" in found
    assert "-login superuser" in found and "+login nosuperuser" in found
    assert "grant right of bucardo to set session_replication_role" in found
    assert lab.value("slave", "show work_mem") != "9MB"
    lab.deploy("--no-proof").ok()
    assert "9MB" not in (lab.state / "slave/data/postgresql.conf").read_text()
    assert (lab.state / "slave/data/postgresql.conf.previous").read_text().endswith("work_mem = '9MB'\n")
    assert lab.value("master2", "select rolsuper from pg_roles where rolname = 'bucardo'") is False
    assert lab.value("master2", "show max_connections") == "100"
    lab("check").ok()


def test_a_setting_that_wants_a_restart_gets_one(lab: LocalLab) -> None:
    before = lab.postmaster("slave")
    lab.edit("shared_buffers: 64MB", "shared_buffers: 48MB, work_mem: 5MB")
    result = lab.deploy("--no-proof", "--limit", "slave").ok()
    assert "restart the server for shared_buffers" in result.out
    assert lab.value("slave", "show shared_buffers") == "48MB"
    assert lab.value("slave", "show work_mem") == "5MB"
    assert lab.postmaster("slave") != before
    assert lab.value("master", "show work_mem") == "4MB", "other hosts are not touched"
    lab.edit("shared_buffers: 48MB, work_mem: 5MB", "shared_buffers: 64MB")
    as_declared(lab)


def test_a_setting_that_the_server_refuses_never_replaces_the_old(lab: LocalLab) -> None:
    path = lab.state / "slave/data/postgresql.conf"
    before = path.read_text()
    lab.edit("shared_buffers: 64MB", "shared_buffers: 64MB, work_mem: 5XB")
    result = lab.deploy("--no-proof", "--limit", "slave").exits(1)
    assert re.search(r'^slave: postgresql: .*invalid value for parameter "work_mem": "5XB"', result.out, re.MULTILINE)
    assert path.read_text() == before
    lab.edit("shared_buffers: 64MB, work_mem: 5XB", "shared_buffers: 64MB")
    as_declared(lab)


def test_a_stopped_server_is_seen_and_started(lab: LocalLab) -> None:
    os.kill(lab.postmaster("slave"), 2)
    stopped = until(lambda: lab("status").code == 3, 30, "status sees the stopped server")
    assert stopped
    assert "start the server" in lab("check").exits(3).out
    lab.deploy().ok()
    assert lab("status").ok().out.count("running") >= 4


def test_passwords_can_be_changed_where_they_are_kept(lab: LocalLab) -> None:
    path = lab.state / "secrets.yml"
    for name in ("postgres", "bucardo"):
        path.write_text(
            re.sub(rf"^{name}: .*$", f"{name}: new-password-of-{name}", path.read_text(), flags=re.MULTILINE)
        )
    lab.deploy("--no-proof").ok()
    for user in ("postgres", "bucardo"):
        with psycopg.connect(
            host=lab.addresses["slave"], port=lab.port, dbname="test1", user=user, password=f"new-password-of-{user}"
        ):
            pass
    as_declared(lab)


def test_what_applications_write_arrives_everywhere(lab: LocalLab) -> None:
    lab.execute("master2", "update pgbench_tellers set filler = 'from master2' where tid = 1")
    lab.execute("master", "update pgbench_tellers set filler = 'from master' where tid = 2")
    query = "select string_agg(trim(filler), ',' order by tid) from pgbench_tellers where tid in (1, 2)"
    for host in HOSTS:
        until(lambda host=host: lab.value(host, query) == "from master2,from master", 30, f"{host} has both")


def test_the_topology_is_converged_live(lab: LocalLab) -> None:
    for host in ("master", "slave"):
        lab.execute(host, "create table items (id int primary key, name text)")
    lab.execute("master", "insert into items select i, 'item ' || i from generate_series(1, 1000) i")
    lab.edit(
        "tables: [pgbench_branches, pgbench_tellers, pgbench_accounts]\n        beta:",
        "tables: [pgbench_branches, pgbench_tellers, pgbench_accounts, items]\n        beta:",
    )
    assert "+  table: public.items" in lab("check", "--diff").exits(3).out
    lab.deploy("--no-proof").ok()
    until(lambda: lab.value("slave", "select count(*) from items") == 1000, 30, "the first copy of the new table")
    triggers = "select count(*) from pg_trigger where tgrelid = 'items'::regclass and not tgisinternal"
    assert lab.value("master", triggers) > 0
    lab.edit("pgbench_accounts, items]", "pgbench_accounts]")
    lab.deploy("--no-proof").ok()
    assert lab.value("master", triggers) == 0
    as_declared(lab)


def test_rebuild_wipes_a_node_and_brings_it_back_with_its_rows(lab: LocalLab) -> None:
    lab.execute("master", "update pgbench_tellers set filler = 'kept' where tid = 3")
    identifier = "select system_identifier from pg_control_system()"
    before = lab.value("slave", identifier)
    result = lab("rebuild", "--limit", "slave", "--yes").ok()
    assert lab.value("slave", identifier) != before, "it is another server"
    assert lab.value("slave", "select trim(filler) from pgbench_tellers where tid = 3") == "kept"
    assert lab.value("slave", "select count(*) from pgbench_accounts") == 100_000
    assert "different" not in result.out and result.out.count("  equal") == 7
    as_declared(lab)


def test_rebuild_of_a_master_that_others_follow_loses_nothing(lab: LocalLab) -> None:
    lab.execute("master2", "update pgbench_tellers set filler = 'written on master2' where tid = 4")
    lab("rebuild", "--limit", "master2", "--yes").ok()
    query = "select trim(filler) from pgbench_tellers where tid = 4"
    assert [lab.value(host, query) for host in HOSTS] == ["written on master2"] * 3


def test_rebuild_refuses_what_would_lose_rows(lab: LocalLab) -> None:
    before = lab.postmaster("master")
    result = lab("rebuild", "--limit", "master", "--yes").exits(2)
    assert "master is the source of benchdeltaalpha: wiping it would lose the rows of herd alpha." in result.err
    assert "catalog" in result.err
    assert "--limit is missing" in lab("rebuild", "--yes").exits(2).err
    assert lab.postmaster("master") == before


def test_status_and_json(lab: LocalLab) -> None:
    shown = lab("status").ok().out
    assert re.search(r"^slave +\S+ +16 +running$", shown, re.MULTILINE)
    assert re.search(r"^benchdeltaalpha +pushdelta +test1_master +test1_slave +(idle|running)", shown, re.MULTILINE)
    found = lab("status", "--json").ok().json()
    assert [server["state"] for server in found["servers"]] == ["running"] * 3
    assert {sync["name"] for sync in found["replicator"]["syncs"]} == {
        "benchdeltaalpha",
        "benchcopybeta",
        "benchswapgamma",
    }


def test_destroy_asks_and_then_leaves_nothing(lab: LocalLab) -> None:
    assert "add --yes" in lab("destroy").exits(2).err
    assert lab.postmaster("master")
    postmasters = [lab.postmaster(host) for host in HOSTS]
    lab("destroy", "--yes").ok()
    assert not lab.state.exists()
    assert [processes.title(pid) for pid in postmasters] == ["", "", ""]
    assert lab.program.leftovers() == {}
    assert sorted(path.name for path in lab.folder.rglob("*") if path.is_file()) == ["local.yml"]
    assert "There was nothing to remove." in lab("destroy", "--yes").ok().out

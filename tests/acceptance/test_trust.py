"""`provision trust` on real sshds: it shows keys, jump hosts' too, asks, writes down what is new, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures import sshd
from tests.fixtures.cli import Program
from tests.fixtures.missing import give_up
from tests.fixtures.sshd import Sshd


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, Sshd]]:
    running: dict[str, Sshd] = {}
    try:
        for number, name in enumerate(("gate", "inner"), 1):
            (tmp_path / name).mkdir()
            running[name] = sshd.start(tmp_path / name, address=f"127.0.0.{number}")
        yield running
    except sshd.NoSshd as missing:
        give_up(missing)
    finally:
        for server in running.values():
            server.close()


@pytest.fixture
def provision(tmp_path: Path, servers: dict[str, Sshd]) -> Iterator[Program]:
    gate, inner = servers["gate"], servers["inner"]
    config = (
        f"Host inner\n  HostName {inner.address}\n  Port {inner.port}\n  IdentityFile {inner.user_key}\n"
        f"  ProxyJump gate\n"
        f"Host gate\n  HostName {gate.address}\n  Port {gate.port}\n  IdentityFile {gate.user_key}\n"
        f"Host *\n  User {gate.user}\n  UserKnownHostsFile {tmp_path}/known_hosts\n"
    )
    (tmp_path / "config").write_text(config)
    (tmp_path / "hosts.yml").write_text(
        "all:\n  vars: {ssh: {config: config}}\n  hosts:\n    inner: {address: 10.9.9.9, ssh: {host: inner}}\n"
    )
    program = Program(tmp_path)
    yield program
    program.close()


def names(servers: dict[str, Sshd]) -> list[str]:
    return [f"[{server.address}]:{server.port}" for server in servers.values()]


def test_new_keys_are_shown_asked_about_and_written(provision: Program, servers: dict[str, Sshd]) -> None:
    known = provision.folder / "known_hosts"
    asked = provision("provision", "trust", "hosts.yml").exits(2)
    assert "add --yes" in asked.err
    assert not known.exists()
    for name, server in zip(names(servers), servers.values(), strict=True):
        assert name in asked.out
        shown = server.host_key.split()[1]
        assert "ED25519 SHA256:" in asked.out and shown not in asked.out
    done = provision("provision", "trust", "hosts.yml", "--yes").ok()
    assert f"2 written to {known}" in done.out
    lines = known.read_text().splitlines()
    assert lines == [f"{name} {server.host_key}" for name, server in zip(names(servers), servers.values(), strict=True)]
    assert known.stat().st_mode & 0o077 == 0
    assert "All keys are known." in provision("provision", "trust", "hosts.yml").ok().out
    found = provision("provision", "facts", "hosts.yml", "--tags", "base")
    assert "known_hosts" not in found.out + found.err, "with these keys the login works"


def test_a_changed_key_is_named_and_stays(provision: Program, servers: dict[str, Sshd]) -> None:
    known = provision.folder / "known_hosts"
    gate, inner = names(servers)
    text = f"# mine\n{gate} {servers['gate'].host_key}\n{inner} {servers['gate'].host_key}\n"
    known.write_text(text)
    found = provision("provision", "trust", "hosts.yml", "--yes").exits(1)
    assert f"CHANGED, {known}:3 has another (remove it if the host was made anew: ssh-keygen -R '{inner}'" in found.out
    assert known.read_text() == text


def test_a_host_that_is_away(provision: Program, servers: dict[str, Sshd]) -> None:
    servers["inner"].close()
    found = provision("provision", "trust", "hosts.yml", "--yes").exits(4)
    assert "inner" in found.out and "shows no key" in found.out
    assert "1 written to" in found.out, "the gate's key is written down all the same"


def test_json(provision: Program, servers: dict[str, Sshd]) -> None:
    found = provision("provision", "trust", "hosts.yml", "--yes", "--json").ok()
    assert [line for line in found.out.splitlines() if '"state": "new"' in line] == found.out.splitlines()

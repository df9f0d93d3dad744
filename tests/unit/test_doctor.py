"""What the doctor makes of answers: as a table, without a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.doctor import Finding, Verdict, exit_code
from provision.doctor.asking import KEYS, PYTHONS, SEMANAGE, SERVERS, TIMES, identity, listener, repositories
from provision.doctor.here import here
from provision.doctor.judging import Answers, findings, probes
from provision.facts import TRAITS, Facts, free_space
from provision.facts.gathering import Answer
from provision.inventory import load
from provision.tasks import Node, Site

TRAIT_TEXT = (
    "id=almalinux\nname=AlmaLinux\nversion=9.4\narchitecture=x86_64\ninit=systemd\n"
    "memory=2097152\ncpus=2\nselinux=Enforcing"
)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    (tmp_path / "hosts.yml").write_text(
        "all:\n  vars: {state_dir: state, become: yes}\n  hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2}}\n"
    )
    inventory = load(tmp_path / "hosts.yml")
    return Site.of(inventory).node(inventory.host("a"))


def judged(node: Node, **changed: str) -> dict[str, Finding]:
    """The findings on a host in order, but for these answers."""
    texts = {
        "traits": TRAIT_TEXT,
        "times": "1000.0",
        "semanage": "yes",
        "pythons": "3.12",
        "keys": "",
        "identity": "root",
        "repositories": "",
        "listener": "free",
        "free": "5000",
        "servers": "",
    } | changed
    asked = {
        "traits": TRAITS,
        "times": TIMES,
        "semanage": SEMANAGE,
        "pythons": PYTHONS,
        "keys": KEYS,
        "identity": identity(),
        "repositories": repositories("dnf"),
        "listener": listener("10.0.0.1", 5432),
        "free": free_space(node.server.data),
        "servers": SERVERS,
    }
    assert set(asked.values()) >= set(probes(node)), "every question is answered here"
    facts = Facts({asked[name]: Answer("known", text) for name, text in texts.items()})
    found: dict[str, Finding] = {}
    for finding in findings(node, Answers(facts, before=999.8, after=1000.2)):
        worse = found.get(finding.check)
        if worse is None or worse.verdict is Verdict.OK:
            found[finding.check] = finding
    return found


def test_a_host_in_order(node: Node) -> None:
    found = judged(node)
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}
    assert exit_code(found.values()) == 0


@pytest.mark.parametrize(
    ("changed", "check", "verdict", "said"),
    [
        ({"traits": "id=debian\nname=Debian\nversion=12"}, "release", Verdict.BAD, "the host is Debian 12, supported"),
        ({"identity": "admin"}, "root", Verdict.BAD, "scripts would run as admin"),
        ({"times": "1007.0"}, "clock", Verdict.BAD, "7 s ahead of this machine's"),
        ({"times": "400.0"}, "clock", Verdict.BAD, "600 s behind this machine's"),
        ({"times": "1001.9"}, "clock", Verdict.OK, "agrees"),
        ({"repositories": "Error: Cannot download repomd.xml"}, "packages", Verdict.BAD, "Cannot download repomd.xml"),
        ({"repositories": "Is this ok [y/N]: Error: ..."}, "packages", Verdict.OK, "a key is yet to be imported"),
        ({"keys": "[pgdg] /etc/pki/none"}, "packages", Verdict.BAD, "the key of a repository is missing: [pgdg]"),
        ({"free": "100"}, "disk", Verdict.BAD, "100 MB are free"),
        ({"free": "100", "servers": "/var/lib/pgsql/16/data"}, "disk", Verdict.OK, "100 MB free"),
        ({"listener": "77 nginx /"}, "port", Verdict.BAD, "10.0.0.1:5432 is in use by nginx (process 77 in /)"),
        ({"listener": "77 postgres /var/lib/pgsql/16/data"}, "port", Verdict.OK, "is our server's"),
        ({"listener": "77 postgres /srv/pg"}, "port", Verdict.BAD, "in use by postgres (process 77 in /srv/pg)"),
        ({"servers": "/srv/pg"}, "servers", Verdict.NOTE, "another PostgreSQL runs there, in /srv/pg"),
        ({"traits": TRAIT_TEXT.replace("2097152", "262144")}, "memory", Verdict.NOTE, "256 MB"),
    ],
)
def test_what_is_wrong_is_said(node: Node, changed: dict[str, str], check: str, verdict: Verdict, said: str) -> None:
    finding = judged(node, **changed)[check]
    assert (finding.verdict, said in finding.said) == (verdict, True), finding
    assert finding.hint or verdict is Verdict.OK or check == "release"


def test_exit_codes() -> None:
    def of(*verdicts: Verdict) -> int:
        return exit_code(Finding("a", "b", verdict, "c") for verdict in verdicts)

    assert [of(Verdict.OK, Verdict.NOTE), of(Verdict.OK, Verdict.BAD), of(Verdict.BAD, Verdict.AWAY)] == [0, 1, 4]


def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Vagrantfile").touch()
    (tmp_path / "VBoxManage").write_text("#!/bin/sh\n")
    (tmp_path / "VBoxManage").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "hosts.yml").write_text(
        "all: {vars: {state_dir: state, ssh: {key_file: none}}, hosts: {a: {address: 10.11.12.241}}}\n"
    )
    inventory = load(tmp_path / "hosts.yml")
    networks = tmp_path / "networks.conf"

    def found() -> dict[str, Finding]:
        return {finding.check: finding for finding in here(Site.of(inventory), inventory.hosts, networks)}

    assert found()["ssh"].verdict is Verdict.NOTE
    assert found()["ssh key"].verdict is Verdict.BAD
    assert found()["VirtualBox"].verdict is Verdict.BAD
    networks.write_text("# ours\n* 10.0.0.0/8 192.168.0.0/16\n")
    assert found()["VirtualBox"].verdict is Verdict.OK
    networks.write_text("* 192.168.56.0/21\n")
    assert "10.11.12.0/24" in found()["VirtualBox"].hint

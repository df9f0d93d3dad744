"""The operating system's resources as tables: given facts, what changes. No host is asked."""

from __future__ import annotations

from typing import Any

import pytest

from provision.errors import HostFailed
from provision.facts import Facts, PathFact
from provision.facts.trouble import explained
from provision.resources import (
    Clock,
    DataLabel,
    Firewall,
    Hostname,
    HostsFile,
    Module,
    NetworkCards,
    Opening,
    Packages,
    PortLabel,
    RepositoryOptions,
    Resource,
    TrustedKey,
    Unit,
    UnitOptions,
    Updates,
    WholePackages,
)
from provision.resources.clones import RULES
from provision.resources.firewall import FirewallFact, rich_rule, table_rule
from provision.resources.hostname import HostnameFact
from provision.resources.hosts_file import BEGIN, END
from provision.resources.packages import UpdateFact
from provision.resources.repositories import FoundRepository, section_of
from provision.resources.units import UnitFact


class Given(Facts):
    """Facts as a test gives them, by the order of the resource's questions."""

    def __init__(self, resource: Resource, *values: object) -> None:
        super().__init__()
        self._values = dict(zip(resource.probes(), values, strict=True))

    def __getitem__(self, probe: Any) -> Any:
        return self._values[probe]


packages = Packages(packages=("chrony", "vim"))
whole = WholePackages()
updates = Updates(kind="all")
security = Updates(kind="security", installer="yum", plugin="yum-plugin-security")
unit = Unit(unit="chronyd", config=("/etc/chrony.conf",))
script = Unit(unit="ntpd", config=("/etc/ntp.conf",), systemd=False)
at_boot = Unit(unit="postgresql-16", running=False)
options = UnitOptions(unit="postgresql-16", text="[Service]\n")
nothing = UnitOptions(unit="postgresql-16", text="")
hostname = Hostname(hostname="pg-1")
hosts = HostsFile(block="10.0.0.1 one\n10.0.0.2 two\n", names=frozenset({"one", "two"}))
disabled = Module(module="postgresql", stream="disabled")
stream = Module(module="postgresql", stream="16")
port = PortLabel(port=5433, installer="dnf", package="policycoreutils-python-utils")
data = DataLabel(path="/srv/pg", installer="dnf", package="policycoreutils-python-utils")
key = TrustedKey(label="PGDG", source="https://a/key", fingerprint="AB" * 20)
vault = RepositoryOptions(
    repository="base", options={"mirrorlist": None, "baseurl": "http://vault/"}, only_if=r"mirrorlist\.centos"
)
epel = RepositoryOptions(repository="epel", options={"enabled": "0", "includepkgs": "a b"})
opening = Opening(port=5432, sources=("10.0.0.2/32", "fd00::2/128", "0.0.0.0/0"))
firewall = Firewall((opening, Opening(port=161, protocol="udp", sources=("10.0.0.9/32",))))
RICH = frozenset(rich_rule(one, source) for one in firewall.openings for source in one.sources)
TABLES = frozenset(table_rule(one, source) for one in firewall.openings for source in one.sources)

BASE = """\
[base]
name=CentOS-$releasever - Base
mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo=os
#baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/
gpgcheck=1

[updates]
name=CentOS-$releasever - Updates
mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo=updates
"""
IN_VAULT = """\
[base]
name=CentOS-$releasever - Base
#baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/
gpgcheck=1
baseurl=http://vault/

[updates]
name=CentOS-$releasever - Updates
mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo=updates
"""
EPEL = "[epel]\nname=Extra\nenabled=1\n"

TABLE: list[tuple[str, Resource, tuple[object, ...], list[str]]] = [
    ("packages", packages, (("vim",),), ["install vim"]),
    ("installed", packages, ((),), []),
    ("an installation that was cut short", whole, (True,), ["install again what a cut installation left"]),
    ("none such", whole, (False,), []),
    ("updates", updates, (UpdateFact(("bash.x86_64", "kernel.x86_64")),), ["update 2 packages"]),
    ("one update", updates, (UpdateFact(("bash.x86_64",)),), ["update 1 package"]),
    ("up to date", updates, (UpdateFact(),), []),
    ("up to date, before a reboot", updates, (UpdateFact(reboot="5.14.0-503.el9"),), []),
    ("no plugin", security, (UpdateFact(("yum-plugin-security",)),), ["install yum-plugin-security"]),
    ("a new service", unit, (UnitFact(),), ["start chronyd now and at boot"]),
    ("enabled", unit, (UnitFact(enabled=True),), ["start chronyd"]),
    ("active", unit, (UnitFact(active=True),), ["start chronyd at boot"]),
    ("both", unit, (UnitFact(enabled=True, active=True),), []),
    (
        "older than its file",
        unit,
        (UnitFact(enabled=True, active=True, stale=True),),
        ["restart chronyd with its new configuration"],
    ),
    (
        "older, and not enabled",
        unit,
        (UnitFact(active=True, stale=True),),
        ["start chronyd at boot", "restart chronyd with its new configuration"],
    ),
    ("a script", script, (UnitFact(),), ["start ntpd now and at boot"]),
    ("what another starts", at_boot, (UnitFact(),), ["start postgresql-16 at boot"]),
    ("what another stopped", at_boot, (UnitFact(enabled=True),), []),
    ("settings", options, (PathFact(), False), ["write /etc/systemd/system/postgresql-16.service.d/pgherd.conf"]),
    (
        "settings that systemd has not read",
        options,
        (PathFact("file", 0o644, "root", "root", "[Service]\n"), True),
        ["let systemd read its files again"],
    ),
    ("no settings", nothing, (PathFact(), False), []),
    (
        "no settings any more",
        nothing,
        (PathFact("file", 0o644, "root", "root", "[Service]\n"), False),
        ["remove /etc/systemd/system/postgresql-16.service.d/pgherd.conf"],
    ),
    ("settings as they are", options, (PathFact("file", 0o644, "root", "root", "[Service]\n"), False), []),
    ("a name", hostname, (HostnameFact(running="localhost", kept="localhost"),), ["set hostname pg-1"]),
    ("a name until the next boot", hostname, (HostnameFact(running="pg-1", kept="old"),), ["set hostname pg-1"]),
    ("the name", hostname, (HostnameFact(running="pg-1", kept="pg-1"),), []),
    ("a module", disabled, ("",), ["disable module postgresql"]),
    ("a module that hides packages", disabled, ("13",), ["disable module postgresql"]),
    ("a module that is off", disabled, ("disabled",), []),
    ("a stream", stream, ("",), ["enable module postgresql 16"]),
    ("another stream", stream, ("13",), ["enable module postgresql 16"]),
    ("the stream", stream, ("16",), []),
    ("a port", port, (False,), ["let PostgreSQL use port 5433 under SELinux"]),
    ("a port with its label", port, (True,), []),
    ("data elsewhere", data, (False,), ["label /srv/pg for PostgreSQL under SELinux"]),
    ("data with its label", data, (True,), []),
    ("a key", key, (False,), ["trust key of PGDG"]),
    ("a trusted key", key, (True,), []),
    (
        "a dead repository",
        vault,
        (FoundRepository("/etc/yum.repos.d/CentOS-Base.repo", BASE),),
        ["set mirrorlist, baseurl of repository base"],
    ),
    ("a living one", vault, (FoundRepository("/etc/yum.repos.d/CentOS-Base.repo", IN_VAULT),), []),
    ("none of that name", vault, (FoundRepository(),), []),
    (
        "a repository to be changed",
        epel,
        (FoundRepository("/etc/yum.repos.d/epel.repo", EPEL),),
        ["set enabled, includepkgs of repository epel"],
    ),
    ("changed", epel, (FoundRepository("/e", "[epel]\nenabled=0\nincludepkgs=a b\n"),), []),
    ("no firewall", firewall, (FirewallFact(),), []),
    ("firewalld", firewall, (FirewallFact("firewalld"),), ["open 5432/tcp, 161/udp in firewalld"]),
    (
        "firewalld that forgets at boot",
        firewall,
        (FirewallFact("firewalld", RICH, RICH - {rich_rule(firewall.openings[1], "10.0.0.9/32")}),),
        ["open 161/udp in firewalld"],
    ),
    ("firewalld, open", firewall, (FirewallFact("firewalld", RICH, RICH | {"more"}),), []),
    ("iptables", firewall, (FirewallFact("iptables"),), ["open 5432/tcp, 161/udp in iptables"]),
    (
        "iptables, open too far",
        firewall,
        (FirewallFact("iptables", TABLES | {table_rule(opening, "10.0.0.7/32")}),),
        ["open 5432/tcp, 161/udp in iptables"],
    ),
    ("iptables, open", firewall, (FirewallFact("iptables", TABLES),), []),
    ("a clone", NetworkCards(), ((f"{RULES} 02:00:00:00:00:01",),), [f"forget another machine's cards in {RULES}"]),
    ("no clone", NetworkCards(), ((),), []),
    ("a clock", Clock("chronyd"), ("not synchronised",), []),
]


@pytest.mark.parametrize(("resource", "values", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_plan(resource: Resource, values: tuple[object, ...], expected: list[str]) -> None:
    assert [change.summary for change in resource.plan(Given(resource, *values))] == expected


@pytest.mark.parametrize("resource", dict.fromkeys(row[1] for row in TABLE), ids=lambda one: one.name)
def test_a_bare_host_can_be_planned(resource: Resource) -> None:
    for change in resource.plan(Facts.bare()):
        assert change.script


def test_a_repository_that_is_not_there_is_named() -> None:
    with pytest.raises(HostFailed) as caught:
        epel.plan(Given(epel, FoundRepository()))
    assert str(caught.value) == (
        "the host has no repository epel, and the inventory does not say where it is."
        " Give it a baseurl and a gpgkey, or correct its name."
    )


def test_only_the_section_changes() -> None:
    found = vault.plan(Given(vault, FoundRepository("/etc/yum.repos.d/CentOS-Base.repo", BASE)))
    assert found[0].after == IN_VAULT
    last = RepositoryOptions(repository="UPDATES", options={"mirrorlist": None, "enabled": "0"})
    (change,) = last.plan(Given(last, FoundRepository("/x.repo", BASE)))
    assert change.after == BASE.rpartition("mirrorlist=")[0] + "enabled=0\n", "names of sections in any case"
    assert section_of(BASE, "updates")["name"] == "CentOS-$releasever - Updates"
    assert section_of(BASE, "absent") == {}


def test_releases_stop_a_service_with_sysv_by_its_script() -> None:
    (change,) = script.plan(Given(script, UnitFact()))
    assert change.script == "chkconfig ntpd on || exit 1\nservice ntpd start || exit 1\n"


# -- /etc/hosts

FOUND = "127.0.0.1 localhost one\n127.0.1.1 two two.example\n::1 localhost\n10.0.0.9 printer # not one of ours\n"
BLOCK = f"{BEGIN}\n10.0.0.1 one\n10.0.0.2 two\n{END}\n"
KEPT = "127.0.0.1 localhost\n127.0.1.1 two.example\n::1 localhost\n10.0.0.9 printer # not one of ours\n"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (FOUND, KEPT + BLOCK),
        (f"{BEGIN}\n10.0.0.7 one\n{END}\n" + KEPT, KEPT + BLOCK),
        (KEPT + f"10.0.0.1 one # by hand\n{BEGIN}\nthe end was lost\n", KEPT + BLOCK),
        (KEPT + "10.0.0.1 one.example one\n", KEPT + "10.0.0.1 one.example\n" + BLOCK),
        (KEPT + BLOCK, None),
    ],
)
def test_nodes_are_named_once_and_everything_else_stays(found: str, expected: str | None) -> None:
    changes = hosts.plan(Given(hosts, PathFact("file", 0o644, "root", "root", found)))
    assert [change.after for change in changes] == ([] if expected is None else [expected])


def test_localhost_is_there_even_when_nothing_was() -> None:
    (change,) = hosts.plan(Given(hosts, PathFact()))
    assert change.after == "127.0.0.1 localhost\n::1 localhost\n" + BLOCK


# -- rules of firewalls


@pytest.mark.parametrize(
    ("source", "rich", "table"),
    [
        (
            "10.0.0.2/32",
            'rule family="ipv4" source address="10.0.0.2/32" port port="5432" protocol="tcp" accept',
            "iptables -A INPUT -s 10.0.0.2/32 -p tcp -m tcp --dport 5432 -m comment --comment pgherd -j ACCEPT",
        ),
        (
            "fd00::2/128",
            'rule family="ipv6" source address="fd00::2/128" port port="5432" protocol="tcp" accept',
            "ip6tables -A INPUT -s fd00::2/128 -p tcp -m tcp --dport 5432 -m comment --comment pgherd -j ACCEPT",
        ),
        (
            "0.0.0.0/0",
            'rule family="ipv4" port port="5432" protocol="tcp" accept',
            "iptables -A INPUT -p tcp -m tcp --dport 5432 -m comment --comment pgherd -j ACCEPT",
        ),
    ],
)
def test_rules_are_written_as_they_are_listed(source: str, rich: str, table: str) -> None:
    assert rich_rule(opening, source) == rich
    assert table_rule(opening, source) == table


# -- what the package manager complains of


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "No match for argument: postgresql99\nError: Unable to find a match: postgresql99",
            "no repository of the host has postgresql99: declare the one that does",
        ),
        (
            "No package postgresql99 available.\nError: Nothing to do",
            "no repository of the host has postgresql99: declare",
        ),
        (
            "Error: Transaction test error:\n  installing package x-1.x86_64 needs 12MB more space on the / filesystem",
            "the disk is full: 12MB are needed on /. Free some space",
        ),
        (
            "Curl error (23): Failed writing received data to disk/application for http://x/y.rpm",
            "the disk is full: free",
        ),
        (
            "Package evil-1.0-1.noarch.rpm is not signed\nError: GPG check FAILED",
            "evil-1.0-1.noarch.rpm is not signed,",
        ),
        (
            "Public key for x-1.rpm is not installed\nError: GPG check FAILED",
            "x-1.rpm: its signature is of a key that is not trusted here. Declare the right gpgkey",
        ),
        (
            'The GPG keys listed for the "Lab" repository are already installed but they are not correct for this.',
            "Lab: its signature is of a key that is not trusted here.",
        ),
        (
            "Failed to download metadata for repo 'x': repomd.xml GPG signature verification error: Bad GPG signature",
            "the list of packages is not signed with the repository's gpgkey (Bad GPG signature)",
        ),
        (
            "Error: Failed to download metadata for repo 'lab': Cannot download repomd.xml: Cannot download"
            " repodata/repomd.xml: All mirrors were tried",
            "the repository lab cannot be read: correct its address",
        ),
        (
            "Error: Cannot retrieve repository metadata (repomd.xml) for repository: base. Please verify its path",
            "the repository base cannot be read: correct its address",
        ),
        ("Cannot find a valid baseurl for repo: base/7/x86_64", "the repository base/7/x86_64 cannot be read"),
        (
            "Error: Problems in request:\nmissing groups or modules: postgresql:99",
            "no repository of the host has the module postgresql:99: declare another",
        ),
    ],
)
def test_complaints_become_sentences(said: str, sentence: str) -> None:
    assert explained(said).startswith(sentence)

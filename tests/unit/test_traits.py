"""What a host is: recorded answers of real releases, what is not supported, what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from provision.errors import HostFailed
from provision.facts import TRAITS, KeptTraits, Traits
from provision.inventory import load
from provision.tasks import Site

MACHINE = "architecture=x86_64\ninit={init}\nmemory=1879724\ncpus=2\nselinux={selinux}"
LAB = Path(__file__).parents[2] / "inventories" / "lab.yml"


def answer(system: str, *, init: str = "systemd", selinux: str = "Enforcing") -> str:
    return system + "\n" + MACHINE.format(init=init, selinux=selinux)


def modern(id: str, name: str, version: str) -> str:
    return answer(f"id={id}\nname={name}\nversion={version}")


def old(said: str) -> str:
    return answer(f"said={said}\nname=Linux\nversion=2.6.32-754.el6.x86_64", init="sysv")


@pytest.mark.parametrize(
    ("said", "distribution", "release", "stream", "system"),
    [
        (old("CentOS release 6.10 (Final)"), "centos", 6, False, "CentOS 6"),
        (old("Red Hat Enterprise Linux Server release 6.10 (Santiago)"), "rhel", 6, False, ""),
        (old("Oracle Linux Server release 6.10"), "oracle", 6, False, "Oracle Linux 6"),
        (modern("centos", "CentOS Linux", "7"), "centos", 7, False, "CentOS 7"),
        (modern("centos", "CentOS Linux", "8"), "centos", 8, False, "CentOS 8"),
        (modern("centos", "CentOS Stream", "8"), "centos", 8, True, "CentOS Stream 8"),
        (modern("almalinux", "AlmaLinux", "9.4"), "almalinux", 9, False, "AlmaLinux 9"),
        (modern("rocky", "Rocky Linux", "10.1"), "rocky", 10, False, "Rocky Linux 10"),
        (modern("rhel", "Red Hat Enterprise Linux", "9.2"), "rhel", 9, False, "Red Hat Enterprise Linux 9"),
        (modern("ol", "Oracle Linux Server", "8.9"), "oracle", 8, False, "Oracle Linux 8"),
    ],
)
def test_releases_are_told_apart(said: str, distribution: str, release: int, stream: bool, system: str) -> None:
    found = TRAITS.parse(said)
    assert (found.distribution, found.release, found.stream) == (distribution, release, stream)
    assert found.init == ("sysv" if release == 6 else "systemd")
    assert not system or found.system == system


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (modern("debian", "Debian GNU/Linux", "12"), "Debian GNU/Linux 12"),
        (modern("fedora", "Fedora Linux", "40"), "Fedora Linux 40"),
        (modern("almalinux", "AlmaLinux", "11.0"), "AlmaLinux 11.0"),
        (old("CentOS release 5.11 (Final)"), "CentOS release 5.11 (Final)"),
        (old("Scientific Linux release 6.10 (Carbon)"), "Scientific Linux release 6.10 (Carbon)"),
        (answer("said=\nname=FreeBSD\nversion=14.1-RELEASE"), "FreeBSD 14.1-RELEASE"),
    ],
)
def test_what_is_not_supported_is_named_with_what_is(said: str, named: str) -> None:
    with pytest.raises(HostFailed) as caught:
        TRAITS.parse(said)
    assert str(caught.value) == (
        f"the host is {named}, supported are CentOS, AlmaLinux, Rocky Linux, Red Hat Enterprise Linux and Oracle Linux,"
        " 6 to 10. Install one of these, or take the host out of the inventory."
    )


@pytest.mark.parametrize(("kilobytes", "megabytes"), [(1879724, 1856), (1879000, 1856), (30000, 64), (2097152, 2048)])
def test_memory_is_rounded(kilobytes: int, megabytes: int) -> None:
    said = modern("rocky", "Rocky Linux", "9.4").replace("1879724", str(kilobytes))
    assert TRAITS.parse(said).memory_mb == megabytes


@pytest.mark.parametrize(
    ("said", "mode"),
    [("Enforcing", "enforcing"), ("1", "enforcing"), ("Permissive", "permissive"), ("0", "permissive"),
     ("Disabled", "disabled"), ("", "disabled")],
)  # fmt: skip
def test_selinux(said: str, mode: str) -> None:
    assert TRAITS.parse(answer("id=rocky\nname=Rocky Linux\nversion=9.4", selinux=said)).selinux == mode


def test_kept_traits_come_back(tmp_path: Path) -> None:
    kept = KeptTraits(tmp_path / "state" / "traits")
    assert kept.get("one") is None
    seen = Traits(release=6, distribution="centos", init="sysv", memory_mb=2048, cpus=2)
    kept.keep("one", seen)
    assert kept.get("one") == seen
    assert (tmp_path / "state/traits/one.json").stat().st_mode & 0o777 == 0o644
    for useless in ("", "[]", '{"release": 5}', '{"colour": "red", "release": 9}', '{"release": 9, "cpus": 1'):
        (tmp_path / "state/traits/one.json").write_text(useless)
        assert kept.get("one") is None


def test_a_host_is_taken_for_what_was_seen_else_declared_else_assumed(tmp_path: Path) -> None:
    tree = yaml.safe_load(LAB.read_text())
    tree["all"]["vars"]["state_dir"] = str(tmp_path / "state")
    tree["all"]["children"]["nodes"]["hosts"]["slave"]["release"] = 7
    (tmp_path / "lab.yml").write_text(yaml.safe_dump(tree, sort_keys=False))
    site = Site.of(load(tmp_path / "lab.yml"))
    master, slave = site.inventory.host("master"), site.inventory.host("slave")
    assert site.traits(master).system == "AlmaLinux 9"
    assert site.traits(slave).system == "CentOS 7"
    seen = Traits(release=8, distribution="rocky", memory_mb=4096)
    site.learn(master, seen)
    assert site.traits(master).release == 9, "a plan writes nothing"
    site.deploying().learn(master, seen)
    assert site.traits(master) == seen
    site.kept_traits.keep("slave", seen)
    assert site.traits(slave).release == 7, "what is declared was written later than what was seen"
    with pytest.raises(HostFailed, match=r"the host is Rocky Linux 8, the inventory says release: 7\. Correct"):
        site.deploying().learn(slave, seen)
    assert replace(seen, release=7).agreed(7).release == 7

"""Names and paths by release, and what each release is asked to have: inventories/lab.yml on EL 6 to 10."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision import platforms
from provision.errors import ProvisionError
from provision.facts import Traits
from provision.inventory import Source, load
from provision.plan import Impossible, items
from provision.platforms import RELEASES
from provision.resources import File, Firewall, HostsFile, Resource, UnitOptions
from provision.tasks import TASKS, Site

LAB = Path(__file__).parents[2] / "inventories" / "lab.yml"
CENTOS_6 = Traits(release=6, distribution="centos", init="sysv")
CENTOS_7 = Traits(release=7, distribution="centos", selinux="enforcing")
STREAM_8 = Traits(release=8, distribution="centos", stream=True)
ALMA = {release: Traits(release=release) for release in (8, 9, 10)}


# -- the server's packages


@pytest.mark.parametrize(
    ("release", "source", "major", "packages", "unit", "data", "stream"),
    [
        (6, Source.PGDG, 12, "postgresql12-server", "postgresql-12", "/var/lib/pgsql/12/data", ""),
        (7, Source.PGDG, 15, "postgresql15-plperl", "postgresql-15", "/var/lib/pgsql/15/data", ""),
        (8, Source.PGDG, 13, "postgresql13-server", "postgresql-13", "/var/lib/pgsql/13/data", "disabled"),
        (9, Source.PGDG, None, "postgresql16-contrib", "postgresql-16", "/var/lib/pgsql/16/data", "disabled"),
        (10, Source.PGDG, 18, "postgresql18", "postgresql-18", "/var/lib/pgsql/18/data", ""),
        (8, Source.DISTRIBUTION, None, "postgresql-server", "postgresql", "/var/lib/pgsql/data", ""),
        (8, Source.DISTRIBUTION, 16, "postgresql-server", "postgresql", "/var/lib/pgsql/data", "16"),
        (9, Source.DISTRIBUTION, 13, "postgresql-server", "postgresql", "/var/lib/pgsql/data", ""),
        (9, Source.DISTRIBUTION, 15, "postgresql-server", "postgresql", "/var/lib/pgsql/data", "15"),
        (10, Source.DISTRIBUTION, 16, "postgresql-server", "postgresql", "/var/lib/pgsql/data", ""),
        (10, Source.DISTRIBUTION, 18, "postgresql18-server", "postgresql", "/var/lib/pgsql/data", ""),
    ],
)
def test_packages(
    release: int, source: Source, major: int | None, packages: str, unit: str, data: str, stream: str
) -> None:
    found = platforms.packaged(RELEASES[release], source, major)
    assert packages in found.packages
    assert (found.unit, found.data, found.stream) == (unit, data, stream)
    assert found.bin == ("/usr/bin" if unit == "postgresql" else f"/usr/pgsql-{unit.rpartition('-')[2]}/bin")
    assert found.pgbench in found.packages


@pytest.mark.parametrize(
    ("release", "source", "major", "said"),
    [
        (
            6,
            Source.DISTRIBUTION,
            None,
            "EL 6 brings PostgreSQL 8.4, which is older than 10. Declare postgresql.source:",
        ),
        (
            7,
            Source.DISTRIBUTION,
            None,
            "EL 7 brings PostgreSQL 9.2, which is older than 10. Declare postgresql.source:",
        ),
        (6, Source.PGDG, 16, "PGDG has no PostgreSQL 16 for EL 6, only 10 to 12. Declare one of these"),
        (7, Source.PGDG, 16, "PGDG has no PostgreSQL 16 for EL 7, only 10 to 15."),
        (10, Source.PGDG, 12, "PGDG has no PostgreSQL 12 for EL 10, only 13 to 18."),
        (9, Source.DISTRIBUTION, 12, "EL 9 has no PostgreSQL 12 of its own, only 13, 15, 16, 18."),
    ],
)
def test_what_a_release_does_not_have(release: int, source: Source, major: int | None, said: str) -> None:
    with pytest.raises(ProvisionError) as caught:
        platforms.packaged(RELEASES[release], source, major)
    assert str(caught.value).startswith(said)


# -- where they come from


@pytest.mark.parametrize(
    ("traits", "major", "urls"),
    [
        (CENTOS_6, 12, ["https://yum-archive.postgresql.org/12/redhat/rhel-6-x86_64"]),
        (CENTOS_7, 15, ["https://yum-archive.postgresql.org/15/redhat/rhel-7-x86_64"]),
        (
            ALMA[8],
            12,
            [
                "https://yum-archive.postgresql.org/12/redhat/rhel-8-x86_64",
                "https://download.postgresql.org/pub/repos/yum/common/redhat/rhel-8-x86_64",
            ],
        ),
        (
            Traits(release=9, architecture="aarch64"),
            16,
            [
                "https://download.postgresql.org/pub/repos/yum/16/redhat/rhel-9-aarch64",
                "https://download.postgresql.org/pub/repos/yum/common/redhat/rhel-9-aarch64",
            ],
        ),
    ],
)
def test_pgdg_urls(traits: Traits, major: int, urls: list[str]) -> None:
    assert list(platforms.pgdg_urls(traits, major).values()) == urls


def test_pgdg_keys() -> None:
    assert platforms.pgdg_key(ALMA[9], 16).fingerprint == "D4BF08AE67A0B4C7A1DBCCD240BCA2B408B40D20"
    assert platforms.pgdg_key(CENTOS_7, 15).url.endswith("RHEL7")
    assert platforms.pgdg_key(CENTOS_6, 12).url.endswith("/RPM-GPG-KEY-PGDG")
    assert "AARCH64" in platforms.pgdg_key(Traits(architecture="aarch64"), 16).url
    with pytest.raises(
        ProvisionError, match=r"the key of PGDG's packages for EL 9 on ppc64le is not known here\. Give"
    ):
        platforms.pgdg_key(Traits(architecture="ppc64le"), 16)


@pytest.mark.parametrize(
    ("traits", "base"),
    [
        (CENTOS_6, "http://vault.centos.org/6.10/os/$basearch/"),
        (CENTOS_7, "http://vault.centos.org/7.9.2009/os/$basearch/"),
        (STREAM_8, "http://vault.centos.org/8-stream/BaseOS/$basearch/os/"),
        (Traits(release=8, distribution="centos"), "http://vault.centos.org/8.5.2111/BaseOS/$basearch/os/"),
        (ALMA[8], None),
        (Traits(release=7, distribution="oracle"), None),
        (Traits(release=9, distribution="centos", stream=True), None),
    ],
)
def test_the_vault(traits: Traits, base: str | None) -> None:
    found = platforms.vault(traits)
    assert next(iter(found.values()), (None, ""))[0] == base


# -- what the stages want of a host of each release


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Callable[..., dict[str, list[Resource]]]]:
    """`inventories/lab.yml` with more variables: `lab(updates="all")(traits)` gives the slave's resources by task."""

    def make(**more: Any) -> Callable[..., dict[str, list[Resource]]]:
        tree = yaml.safe_load(LAB.read_text())
        tree["all"]["vars"] |= {"state_dir": str(tmp_path / "state"), **more}
        (tmp_path / "lab.yml").write_text(yaml.safe_dump(tree, sort_keys=False))
        site = Site.of(load(tmp_path / "lab.yml"))

        def of(traits: Traits) -> dict[str, list[Resource]]:
            found: dict[str, list[Resource]] = {}
            for item in items(site.node(site.inventory.host("slave"), traits), TASKS):
                found.setdefault(item.task, []).append(item.resource)
            return found

        return of

    return make


Lab = Callable[..., Callable[..., dict[str, list[Resource]]]]


def names(resources: list[Resource]) -> list[str]:
    return [resource.name for resource in resources]


def text(resources: list[Resource], path: str) -> str:
    (found,) = (one for one in resources if isinstance(one, File) and one.path == path)
    return found.text


def pgdg(version: int) -> dict[str, object]:
    return {"version": version, "source": "pgdg"}


@pytest.mark.parametrize(
    ("traits", "version", "repositories", "base", "ntp", "packages"),
    [
        (
            CENTOS_6,
            12,
            [
                "repository base",
                "repository updates",
                "repository extras",
                "key of PGDG",
                "file /etc/yum.repos.d/pgdg.repo",
            ],
            ["hostname slave", "nodes in /etc/hosts", "network cards", "whole packages", "firewall: 5432/tcp"],
            ["packages ntp", "file /etc/ntp.conf", "service ntpd", "clock"],
            "packages postgresql12, postgresql12-server, postgresql12-contrib, postgresql12-plperl",
        ),
        (
            CENTOS_7,
            15,
            [
                "repository base",
                "repository updates",
                "repository extras",
                "key of PGDG",
                "file /etc/yum.repos.d/pgdg.repo",
            ],
            ["hostname slave", "nodes in /etc/hosts", "whole packages", "firewall: 5432/tcp"],
            ["packages chrony", "file /etc/chrony.conf", "service chronyd", "clock"],
            "packages postgresql15, postgresql15-server, postgresql15-contrib, postgresql15-plperl",
        ),
        (
            STREAM_8,
            16,
            [
                "repository baseos",
                "repository appstream",
                "repository extras",
                "key of PGDG",
                "file /etc/yum.repos.d/pgdg.repo",
                "module postgresql disabled",
            ],
            ["hostname slave", "nodes in /etc/hosts", "whole packages", "firewall: 5432/tcp"],
            ["packages chrony", "file /etc/chrony.conf", "service chronyd", "clock"],
            "packages postgresql16, postgresql16-server, postgresql16-contrib, postgresql16-plperl",
        ),
        (
            ALMA[9],
            16,
            ["key of PGDG", "file /etc/yum.repos.d/pgdg.repo", "module postgresql disabled"],
            ["hostname slave", "nodes in /etc/hosts", "whole packages", "firewall: 5432/tcp"],
            ["packages chrony", "file /etc/chrony.conf", "service chronyd", "clock"],
            "packages postgresql16, postgresql16-server, postgresql16-contrib, postgresql16-plperl",
        ),
        (
            ALMA[10],
            18,
            ["key of PGDG", "file /etc/yum.repos.d/pgdg.repo"],
            ["hostname slave", "nodes in /etc/hosts", "whole packages", "firewall: 5432/tcp"],
            ["packages chrony", "file /etc/chrony.conf", "service chronyd", "clock"],
            "packages postgresql18, postgresql18-server, postgresql18-contrib, postgresql18-plperl",
        ),
    ],
    ids=["6", "7", "8", "9", "10"],
)
def test_a_node_of_each_release(
    lab: Lab, traits: Traits, version: int, repositories: list[str], base: list[str], ntp: list[str], packages: str
) -> None:
    found = lab(postgresql=pgdg(version))(traits)
    assert list(found)[:4] == ["repositories", "base", "ntp", "postgresql"], "packages need repositories"
    assert names(found["repositories"]) == repositories
    assert names(found["base"]) == base
    assert names(found["ntp"]) == ntp
    data = f"/var/lib/pgsql/{version}/data"
    told = [] if traits is CENTOS_6 else [f"settings of service postgresql-{version}"]
    assert names(found["postgresql"]) == [
        "whole packages",
        packages,
        *told,
        f"room for {data}",
        f"data directory {data}",
        *(f"file {data}/{name}" for name in ("server.key", "server.crt", "root.crt")),
        f"file {data}/postgresql.conf",
        f"file {data}/pg_hba.conf",
        "server :5432",
        f"service postgresql-{version} at boot",
        "configuration in force",
    ]


def test_pgdgs_repository_is_that_of_the_declared_version_and_the_common_one(lab: Lab) -> None:
    found = text(lab()(ALMA[9])["repositories"], "/etc/yum.repos.d/pgdg.repo")
    assert found.partition("\n\n")[2] == (
        "[pgdg16]\nname=PostgreSQL 16\n"
        "baseurl=https://download.postgresql.org/pub/repos/yum/16/redhat/rhel-9-x86_64\n"
        "enabled=1\ngpgcheck=1\nrepo_gpgcheck=1\n"
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-PGDG-40BCA2B408B40D20\n\n"
        "[pgdg-common]\nname=PostgreSQL, common packages\n"
        "baseurl=https://download.postgresql.org/pub/repos/yum/common/redhat/rhel-9-x86_64\n"
        "enabled=1\ngpgcheck=1\nrepo_gpgcheck=1\n"
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-PGDG-40BCA2B408B40D20\n"
    )
    assert "repo_gpgcheck=0" in text(lab(postgresql=pgdg(12))(CENTOS_6)["repositories"], "/etc/yum.repos.d/pgdg.repo")


def test_a_mirror_serves_hosts_without_internet(lab: Lab) -> None:
    mirror = {
        "baseurl": "http://mirror.lan/pgdg-{version}/",
        "gpgkey": "http://mirror.lan/key",
        "fingerprint": "ab" * 20,
    }
    found = lab(pgdg=mirror)(ALMA[9])["repositories"]
    assert text(found, "/etc/yum.repos.d/pgdg.repo").partition("\n\n")[2] == (
        "[pgdg16]\nname=PostgreSQL 16\nbaseurl=http://mirror.lan/pgdg-16/\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=0\n"
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-PGDG-ABABABABABABABAB\n"
    )


def test_a_distributions_own_packages_need_no_repository_of_pgdg(lab: Lab) -> None:
    found = lab(postgresql={"source": "distribution", "version": 16})(ALMA[8])
    assert names(found["repositories"]) == ["module postgresql 16"]
    with pytest.raises(Impossible, match=r"slave: repositories: EL 7 brings PostgreSQL 9\.2, which is older than 10\."):
        lab(postgresql={"source": "distribution"})(CENTOS_7)


def test_declared_repositories_are_files_or_changes_of_those_that_are_there(lab: Lab) -> None:
    epel = {"enabled": False, "includepkgs": ["perl-version", "perl-DBIx-Safe"]}
    own = {
        "baseurl": "https://rpms.lan/9/",
        "gpgkey": "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-lan",
        "exclude": ["kernel*"],
    }
    found = lab(repositories={"epel": epel, "lan": own})(ALMA[9])["repositories"]
    assert names(found)[:2] == ["repository epel", "file /etc/yum.repos.d/lan.repo"]
    assert vars(found[0])["options"] == {"enabled": "0", "includepkgs": "perl-version perl-DBIx-Safe"}
    assert text(found, "/etc/yum.repos.d/lan.repo").partition("\n\n")[2] == (
        "[lan]\nname=lan\nbaseurl=https://rpms.lan/9/\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=0\n"
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-lan\nexclude=kernel*\n"
    )


def test_time_comes_from_the_declared_servers_else_from_a_pool(lab: Lab) -> None:
    assert "\npool pool.ntp.org iburst\n" in text(lab()(ALMA[9])["ntp"], "/etc/chrony.conf")
    chosen = text(lab(ntp={"servers": ["10.11.12.1"]})(ALMA[9])["ntp"], "/etc/chrony.conf")
    assert "\nserver 10.11.12.1 iburst\n" in chosen
    assert "pool" not in chosen
    old = lab(postgresql=pgdg(12))(CENTOS_6)["ntp"]
    assert "\nserver 3.pool.ntp.org iburst\n" in text(old, "/etc/ntp.conf"), "its ntpd knows no pools"


def test_snmp_is_on_when_declared_and_its_community_is_a_secret(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    own = lab(snmp={})(ALMA[9])["base"]
    assert names(own)[3:6] == ["packages net-snmp", "file /etc/snmp/snmpd.conf", "service snmpd"]
    assert "rocommunity public localhost\nagentAddress udp:127.0.0.1:161\n" in text(own, "/etc/snmp/snmpd.conf")


def test_everything_else_of_base(lab: Lab) -> None:
    enforcing = Traits(selinux="enforcing")
    found = lab(updates="security", postgresql={**pgdg(16), "port": 5433, "data_dir": "/srv/pg/data"})(enforcing)
    assert names(found["base"])[3:] == ["security updates", "SELinux label of port 5433", "firewall: 5433/tcp"]
    assert names(found["postgresql"])[2:5] == [
        "folder /srv/pg",
        "settings of service postgresql-16",
        "SELinux label of /srv/pg/data",
    ]
    (options,) = (one for one in found["postgresql"] if isinstance(one, UnitOptions))
    assert options.text.endswith('[Service]\nEnvironment="PGDATA=/srv/pg/data"\n')


def test_a_moved_data_directory_on_el_6_is_told_to_the_script(lab: Lab) -> None:
    found = lab(postgresql={**pgdg(12), "port": 5433, "data_dir": "/srv/pg/data"})(CENTOS_6)["postgresql"]
    told = text(found, "/etc/sysconfig/pgsql/postgresql-12")
    assert told.endswith("\nPGDATA=/srv/pg/data\nPGPORT=5433\n")


def test_the_port_is_open_to_those_who_may_log_in(lab: Lab) -> None:
    rules = [{"user": "web", "database": "shop", "from": ["10.9.0.0/16", "samehost"]}]
    found = lab(postgresql={**pgdg(16), "access": rules})(ALMA[9])["base"]
    (firewall,) = (one for one in found if isinstance(one, Firewall))
    (opening,) = firewall.openings
    assert (opening.port, opening.protocol) == (5432, "tcp")
    assert opening.sources == ("10.11.12.241/32", "10.11.12.243/32", "10.9.0.0/16")


def test_every_node_is_in_the_hosts_file(lab: Lab) -> None:
    (hosts,) = (one for one in lab()(ALMA[9])["base"] if isinstance(one, HostsFile))
    assert hosts.block == "10.11.12.241 master\n10.11.12.242 slave\n10.11.12.243 master2\n"


@pytest.mark.parametrize("release", RELEASES)
def test_every_kind_of_init_is_known_to_its_services(lab: Lab, release: int) -> None:
    traits = Traits.assumed(release)
    found = lab(postgresql=pgdg(12 if release < 10 else 16), snmp={})(traits)
    units = [one for one in (*found["base"], *found["ntp"], *found["postgresql"]) if one.name.startswith("service ")]
    assert len(units) == 3
    assert {vars(unit)["systemd"] for unit in units} == {release > 6}

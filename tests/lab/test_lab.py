"""The lab keeps its promises: what is a machine's own on these hosts, and what each mishap does to them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.wait import until
from tests.lab.cache import Build
from tests.lab.hosts import Machine
from tests.lab.image import ADMIN_PASSWORD, MIRROR
from tests.lab.lab import Lab


def sees(host: Machine, other: Machine) -> bool:
    """Whether packets of a host reach another one, and come back."""
    return host.attempt(f"ping -c1 -W1 -q {other.address}").code == 0


def unreachable(host: Machine) -> bool:
    return host.attempt("true").code == 255


@pytest.fixture
def unsigned(build: Build, lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """A repository on the master with one package of the mirror, whose signature was taken off."""
    folder = lab["master"].file("/srv/unsigned")
    folder.mkdir()
    (package,) = build.repository("distribution").packages.glob("logrotate-*.rpm")
    copy = shutil.copy(package, folder)
    subprocess.run(
        ["rpmsign", "--delsign", copy], check=True, capture_output=True, env={**os.environ, "HOME": str(tmp_path)}
    )
    subprocess.run(["createrepo_c", "-q", folder], check=True)
    yield folder
    shutil.rmtree(folder)


def test_hosts_are_centos(lab: Lab) -> None:
    for host in lab:
        assert host.run("hostname") == host.name
        assert host.run(". /etc/os-release; echo $ID$VERSION_ID; rpm -E '%{rhel}%{?dist}'") == "centos9\n9.el9"
        assert host.run("systemctl is-system-running") == "running"
        assert "10.11.12" in host.run("ip -4 -o address show dev eth0")
    assert len({host.run("cat /etc/machine-id") for host in lab}) == 3
    assert not unreachable(lab["slave"])


def test_accounts(lab: Lab) -> None:
    host = lab["slave"]
    assert host.run("sudo -n id -un", user="vagrant") == "root"
    refused = host.attempt("sudo -n true", user="admin")
    assert refused.code == 1
    assert "password is required" in refused.err
    assert host.run(f"echo '{ADMIN_PASSWORD}' | sudo -S -p '' id -un", user="admin") == "root"


def test_packages_are_installed_with_their_signatures_checked(lab: Lab, unsigned: Path) -> None:
    host, pgdg = lab["master"], lab.build.repository("pgdg")
    assert host.attempt("command -v python3.11").code == 1
    host.file("/etc/yum.repos.d/pgdg.repo").write_text(pgdg.definition(MIRROR, f"{MIRROR}pgdg/{pgdg.public_key.name}"))
    host.run("dnf -q -y install postgresql15-server postgresql15-contrib postgresql15-plperl python3.11 python3.11-pip")
    assert host.run("rpm -q --qf '%{RSAHEADER:pgpsig}' postgresql15-server").startswith("RSA/SHA")
    assert host.run("rpm -V postgresql15-server postgresql15 postgresql15-libs") == ""
    host.run("python3.11 -m venv /tmp/venv && /tmp/venv/bin/python -c 'import ssl, sqlite3'")
    without = "--repo=unsigned --repofrompath=unsigned,file:///srv/unsigned --setopt=unsigned.gpgcheck=1"
    refused = host.attempt(f"dnf -q -y {without} install logrotate")
    assert refused.code == 1
    assert "is not signed" in refused.out + refused.err
    assert host.attempt("rpm -q logrotate").code == 1


def test_services_run(lab: Lab) -> None:
    host = lab["master2"]
    host.run("dnf -q -y install postgresql-server chrony net-snmp net-snmp-utils cronie rsyslog firewalld")
    host.run("postgresql-setup --initdb && systemctl enable -q --now postgresql chronyd snmpd crond rsyslog")
    assert host.run("systemctl is-active postgresql chronyd snmpd crond rsyslog").split() == ["active"] * 5
    assert host.run("runuser -u postgres -- psql -Atc 'show server_encoding' postgres") == "UTF8"
    assert host.name in host.run("snmpget -v2c -c public -Oqv localhost .1.3.6.1.2.1.1.5.0")
    drop = f"rule family=ipv4 source address={lab['slave'].address} drop"
    host.run(f"systemctl start firewalld && firewall-cmd -q --add-rich-rule='{drop}'")
    assert not sees(lab["slave"], host)
    host.run("systemctl stop firewalld")
    assert sees(lab["slave"], host)


def test_power_loss_loses_what_was_not_synced(lab: Lab) -> None:
    host = lab["slave"]
    host.run("head -c 5M /dev/urandom >/root/kept && sync /root /root/kept && head -c 5M /dev/urandom >/root/lost")
    host.power_loss()
    assert unreachable(host)
    host.start()
    assert host.run("stat -c %s /root/kept") == str(5 << 20)
    assert host.run("stat -c %s /root/lost 2>/dev/null || echo 0") == "0"


def test_kill_and_orderly_stop_lose_nothing(lab: Lab) -> None:
    host = lab["slave"]
    host.run("echo written >/root/file")
    host.kill()
    host.start()
    assert host.run("cat /root/file") == "written"
    host.run("echo again >/root/file")
    host.stop()
    assert unreachable(host)
    host.start()
    assert host.run("cat /root/file") == "again"


def test_reboot_keeps_the_disk_and_the_address(lab: Lab) -> None:
    host = lab["slave"]
    host.run("echo written >/root/before")
    boot = host.run("cat /run/systemd/machine-id; stat -c %Y /run/systemd")
    host.reboot()
    assert host.run("cat /root/before") == "written"
    assert host.run("cat /run/systemd/machine-id; stat -c %Y /run/systemd") != boot
    with host.booting_again():
        host.run("systemd-run -q --on-active=0.2 systemctl reboot")  # by itself, as an update may
    assert host.run("cat /root/before") == "written"


def test_network_mishaps(lab: Lab) -> None:
    master, slave, master2 = lab["master"], lab["slave"], lab["master2"]
    slave.unplug()
    assert not sees(master, slave)
    assert "NO-CARRIER" in slave.console("ip link show eth0")
    slave.plug()
    until(lambda: sees(master, slave), 10, "plugged in again")
    slave.blackhole()
    assert not sees(master, slave)
    assert "NO-CARRIER" not in slave.console("ip link show eth0")
    slave.heal()
    until(lambda: sees(master, slave), 10, "healed")
    lab.partition("master", "slave")
    assert not sees(master, slave)
    assert sees(master2, slave)
    assert sees(master2, master)
    lab.heal()
    until(lambda: sees(master, slave), 10, "healed")


def test_a_slow_link(lab: Lab) -> None:
    master, slave = lab["master"], lab["slave"]
    slave.link(delay=50)
    until(lambda: sees(master, slave), 10, "the slow link passes packets on")
    times = master.run(f"ping -c3 -i0.2 -q {slave.address}").rpartition(" = ")[2].split("/")
    assert 100 <= float(times[0]) < 150
    slave.heal()
    until(lambda: sees(master, slave), 10, "healed")
    assert float(master.run(f"ping -c3 -i0.2 -q {slave.address}").rpartition(" = ")[2].split("/")[0]) < 50


def test_a_host_that_hangs_goes_on(lab: Lab) -> None:
    host = lab["slave"]
    started = host.run("systemctl show -p ActiveEnterTimestampMonotonic ssh")
    host.freeze()
    assert not sees_banner(lab, host)
    host.thaw()
    assert host.run("systemctl show -p ActiveEnterTimestampMonotonic ssh") == started


def sees_banner(lab: Lab, host: Machine) -> bool:
    """Whether its ssh server says something; while a host hangs, its kernel still takes connections."""
    command = [*lab.network.entrance, "ssh-keyscan", "-T", "1", host.address]
    return bool(subprocess.run(command, capture_output=True, check=False).stdout)


def test_a_full_disk(lab: Lab) -> None:
    host = lab["slave"]
    host.fill_disk()
    full = host.attempt("head -c 1M /dev/zero >/root/more")
    assert "No space left on device" in full.err
    host.free_disk()
    host.run("head -c 1M /dev/zero >/root/more")


def test_a_clock_that_is_wrong(lab: Lab) -> None:
    host = lab["slave"]
    running = "systemctl show -p MainPID --value ssh"
    before = host.run(running)
    for apart in (3600, -90):
        host.skew_clock(apart)
        assert int(host.run("date +%s")) - time.time() == pytest.approx(apart, abs=3)
        assert int(host.run("python3 -c 'import time; print(int(time.time()))'")) - time.time() == pytest.approx(
            apart, abs=3
        )
    host.skew_clock(0)
    assert host.run(running) == before

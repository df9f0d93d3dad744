"""The operating system's resources through a real shell, on files of EL 6 to 9 in a folder of the test's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.errors import HostFailed
from provision.facts import gather
from provision.resources import (
    DataLabel,
    HostsFile,
    Module,
    NetworkCards,
    Packages,
    PortLabel,
    RepositoryOptions,
    Resource,
    TrustedKey,
    Unit,
    Updates,
    WholePackages,
)
from provision.resources.packages import UNLOCKED, UpdateFact
from provision.resources.steps import carry_out
from provision.transport import Local
from provision.transport.base import OnLine, Result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these hosts have GNU's tools and Linux's /proc")

MOVED = (
    "/etc/",
    "/sys/class/net",
    "/var/lib/selinux/",
    "/var/lib/dnf/",
    "/var/lib/rpm/",
    "/var/cache/dnf/",
    "/var/run/",
    "/var/lock/subsys/",
)
KEYS = Path(__file__).parents[1] / "unit" / "keys"
RSA = "91D0E27B4DE7308873150B81004738175CEB42E9"


class Host(Local):
    """This machine with other files in the places that a script names."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def run(
        self, script: str, *, as_user: str = "", timeout: float | None = None, on_line: OnLine | None = None
    ) -> Result:
        for path in MOVED:
            script = script.replace(path, f"{self.root}{path}")
        found = super().run(script, as_user=as_user, timeout=timeout, on_line=on_line)
        return Result(found.rc, found.out.replace(str(self.root), ""), found.err)

    def write(self, path: str, text: str) -> Path:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for folder in ("etc/yum.repos.d", "etc/pki/rpm-gpg", "sys/class/net"):
        (tmp_path / folder).mkdir(parents=True)
    return Host(tmp_path)


def converge(host: Host, resource: Resource) -> list[str]:
    """Make it so; look again and find nothing left; the summaries of what was done."""
    changes = resource.plan(gather(host, resource.probes()))
    if changes:
        carry_out(host, changes, lambda event: None)
    assert resource.plan(gather(host, resource.probes())) == []
    return [change.summary for change in changes]


def test_nodes_come_into_the_hosts_file(host: Host) -> None:
    host.write("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 one one\n")
    assert converge(host, HostsFile(block="10.0.0.1 one\n", names=frozenset({"one"})))
    assert host.read("/etc/hosts").splitlines()[0] == "127.0.0.1 localhost"
    assert "\n10.0.0.1 one\n" in host.read("/etc/hosts")
    assert "127.0.1.1" not in host.read("/etc/hosts")
    assert host.read("/etc/hosts.previous") == "127.0.0.1 localhost\n127.0.1.1 one one\n"


RULES = """\
# PCI device 0x1af4:0x1000 (virtio-pci)
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="08:00:27:aa:bb:01", NAME="eth0"
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="08:00:27:aa:bb:02", NAME="eth1"
"""


@pytest.mark.parametrize(("card", "foreign"), [("08:00:27:AA:BB:02", True), ("08:00:27:AA:BB:01", False)])
def test_a_clone_forgets_the_cards_of_its_original(host: Host, card: str, foreign: bool) -> None:
    rules = RULES if foreign else RULES.replace("bb:02", "bb:01")
    host.write("/etc/udev/rules.d/70-persistent-net.rules", rules)
    host.write("/etc/sysconfig/network-scripts/ifcfg-eth0", 'DEVICE=eth0\nHWADDR="08:00:27:AA:BB:01"\nONBOOT=yes\n')
    host.write("/etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n")
    host.write("/sys/class/net/eth1/address", card.lower() + "\n")
    done = converge(host, NetworkCards())
    assert bool(done) == foreign
    kept = host.read("/etc/sysconfig/network-scripts/ifcfg-eth0")
    assert ("HWADDR" not in kept) == foreign
    assert kept.startswith("DEVICE=eth0\n")
    assert (host.root / "etc/udev/rules.d/70-persistent-net.rules").exists() != foreign


def test_a_module_is_off_where_dnf_looks(host: Host) -> None:
    module = Module(module="postgresql", stream="disabled")
    assert converge(host, module) == ["disable module postgresql"]
    assert "\nstate=disabled\n" in host.read("/etc/dnf/modules.d/postgresql.module")
    chosen = "[postgresql]\nname=postgresql\nstream=13\nprofiles=server\nstate=enabled\n"
    host.write("/etc/dnf/modules.d/postgresql.module", chosen.replace("enabled", ""))
    assert Module(module="postgresql", stream="13").plan(gather(host, module.probes())), "named, and not on"
    host.write("/etc/dnf/modules.d/postgresql.module", chosen)
    assert Module(module="postgresql", stream="13").plan(gather(host, module.probes())) == []
    assert converge(host, module) == ["disable module postgresql"]


def test_a_repository_that_is_there_is_changed_in_its_file(host: Host) -> None:
    base = (
        "[base]\nname=Base\nmirrorlist=http://mirrorlist.centos.org/?repo=os\ngpgcheck=1\n\n[updates]\nname=Updates\n"
    )
    host.write("/etc/yum.repos.d/CentOS-Base.repo", base)
    options = {"mirrorlist": None, "baseurl": "http://vault/os/"}
    vault = RepositoryOptions(repository="base", options=options, only_if="mirrorlist.centos")
    assert converge(host, vault) == ["set mirrorlist, baseurl of repository base"]
    assert host.read("/etc/yum.repos.d/CentOS-Base.repo") == (
        "[base]\nname=Base\ngpgcheck=1\nbaseurl=http://vault/os/\n\n[updates]\nname=Updates\n"
    )
    assert converge(host, vault) == []
    assert converge(host, RepositoryOptions(repository="Updates", options={"enabled": "0"}))
    with pytest.raises(HostFailed, match="the host has no repository epel"):
        converge(host, RepositoryOptions(repository="epel", options={"enabled": "0"}))


def test_selinux_is_read_from_the_policys_own_files(host: Host) -> None:
    port = PortLabel(port=5433, installer="dnf", package="x")
    data = DataLabel(path="/srv/pg", installer="dnf", package="x")
    assert port.plan(gather(host, port.probes()))
    assert data.plan(gather(host, data.probes()))
    host.write(
        "/var/lib/selinux/targeted/active/ports.local", "portcon tcp 5433 system_u:object_r:postgresql_port_t:s0\n"
    )
    contexts = "/srv/pg(/.*)?    system_u:object_r:postgresql_db_t:s0\n"
    host.write("/etc/selinux/targeted/contexts/files/file_contexts.local", contexts)
    assert port.plan(gather(host, port.probes())) == []
    assert data.plan(gather(host, data.probes())) == []
    host.write("/var/lib/selinux/targeted/active/ports.local", "portcon tcp 5433 system_u:object_r:other_port_t:s0\n")
    assert port.plan(gather(host, port.probes()))


def test_another_program_that_installs_is_waited_for_and_then_named(host: Host) -> None:
    holder = subprocess.Popen(["sleep", "60"])
    try:
        lock = host.write("/var/lib/dnf/rpmdb_lock.pid", f"{holder.pid}\n")
        impatient = UNLOCKED.replace("-le 60", "-le 1") + "echo free\n"
        said = host.run(impatient)
        assert said.rc == 1
        assert f"held the package manager for 60 s: process {holder.pid}, sleep 60. Let it end" in said.out
    finally:
        holder.kill()
        holder.wait()
    assert host.run(impatient).out.strip() == "free", "whoever has ended holds nothing"
    lock.unlink()
    assert host.run(impatient).out.strip() == "free"


RPM = """#!/bin/sh
# keeps the names of keys in a file, as rpm does in its database
case $1 in
  --import) grep -q 'BEGIN PGP' "$2" && echo gpg-pubkey-5ceb42e9 >>"${0%/*}/known" ;;
  -q) grep -qx "$2" "${0%/*}/known" 2>/dev/null ;;
esac
"""


@pytest.fixture
def with_rpm(host: Host, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """A host with an rpm; gives the keys that it has taken."""
    program = host.write("/bin/rpm", RPM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return lambda: (program.parent / "known").read_text() if (program.parent / "known").exists() else ""


@pytest.mark.parametrize("source", ["text", "address"])
def test_a_key_is_trusted_when_it_is_the_declared_one(host: Host, with_rpm: Callable[[], str], source: str) -> None:
    given = (KEYS / "rsa.asc").read_text() if source == "text" else f"file://{KEYS}/rsa.asc"
    key = TrustedKey(label="lan", source=given, fingerprint=RSA)
    assert converge(host, key) == ["trust key of lan"]
    assert with_rpm() == "gpg-pubkey-5ceb42e9\n"
    assert host.read("/etc/pki/rpm-gpg/RPM-GPG-KEY-lan-004738175CEB42E9") == (KEYS / "rsa.asc").read_text()
    assert len(list((host.root / "etc/pki/rpm-gpg").iterdir())) == 1


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("curve.asc", f"has the fingerprint 5092E863A79354872D30247782BE467DF502867D, {RSA} is declared"),
        ("both.asc", RSA + " is declared, so it is not trusted"),
        ("../test_openpgp.py", "has the fingerprint of no key"),
        ("nowhere.asc", "cannot be fetched from "),
    ],
)
def test_another_key_is_not_trusted(host: Host, with_rpm: Callable[[], str], file: str, said: str) -> None:
    key = TrustedKey(label="lan", source=f"file://{KEYS}/{file}", fingerprint=RSA)
    with pytest.raises(HostFailed) as caught:
        converge(host, key)
    assert said in str(caught.value)
    assert with_rpm() == ""
    assert list((host.root / "etc/pki/rpm-gpg").iterdir()) == []


SERVICE = """#!/bin/sh
# runs services as SysV scripts do: the file below subsys is there while one runs, and made anew when it starts
lock=ROOT/var/lock/subsys/$1
case $2 in
  status) [ -e "$lock" ] ;;
  start|restart) rm -f "$lock"; : >"$lock"; echo "$2 $1" >>ROOT/said ;;
esac
"""
CHKCONFIG = """#!/bin/sh
case $1 in
  --list) [ -e ROOT/on ] && echo "$2 0:off 1:off 2:on 3:on 4:on 5:on 6:off" || echo "$2 0:off 3:off 5:off" ;;
  *) : >ROOT/on ;;
esac
"""


def test_a_sysv_service_runs_starts_at_boot_and_heeds_its_file(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.root / "var/lock/subsys").mkdir(parents=True)
    for name, text in (("service", SERVICE), ("chkconfig", CHKCONFIG)):
        host.write(f"/bin/{name}", text.replace("ROOT", str(host.root))).chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.root}/bin:/usr/bin:/bin")
    unit = Unit(unit="ntpd", config=("/etc/ntp.conf",), systemd=False)
    file = host.write("/etc/ntp.conf", "server a\n")
    assert converge(host, unit) == ["start ntpd now and at boot"]
    assert converge(host, unit) == []
    file.write_text("server b\n")
    assert converge(host, unit) == ["restart ntpd with its new configuration"]
    (host.root / "var/lock/subsys/ntpd").unlink()
    assert converge(host, unit) == ["start ntpd"]
    assert host.read("/said") == "start ntpd\nrestart ntpd\nstart ntpd\n"


NEWER = """
bash.x86_64                  5.1.8-9.el9                 baseos
kernel-core.x86_64           5.14.0-503.el9              baseos
a-package-with-a-very-long-name.noarch
                             2.0-1.el9                   appstream
Obsoleting Packages
new.noarch                   1.0-1.el9                   appstream
    old.noarch               0.9-1.el9                   @appstream
"""
THREE = ("bash.x86_64", "kernel-core.x86_64", "a-package-with-a-very-long-name.noarch")


def programs(host: Host, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Programs that stand first in the path."""
    for name, text in texts.items():
        host.write(f"/bin/{name}", "#!/bin/sh\n" + text.replace("ROOT", str(host.root))).chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.root}/bin:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("code", "said", "running", "expected"),
    [
        (100, NEWER, "5.14.0-503.el9.x86_64", UpdateFact(THREE)),
        (0, "", "5.14.0-427.el9.x86_64", UpdateFact((), "5.14.0-503.el9.x86_64")),
        (0, "", "5.14.0-503.el9.x86_64", UpdateFact()),
    ],
)
def test_updates_are_read_as_the_package_manager_lists_them(
    host: Host, monkeypatch: pytest.MonkeyPatch, code: int, said: str, running: str, expected: UpdateFact
) -> None:
    host.write("/newer", said)
    programs(
        host,
        monkeypatch,
        dnf=f"[ \"$*\" = '-q check-update' ] || exit 9\ncat ROOT/newer\nexit {code}\n",
        rpm="echo 'kernel-core-5.14.0-503.el9.x86_64    Wed Nov 25 2026'\n",
        uname=f"echo {running}\n",
    )
    updates = Updates(kind="all")
    found = gather(host, updates.probes())[updates.probes()[0]]
    assert found == expected


def test_repositories_that_do_not_answer_are_no_news(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(host, monkeypatch, dnf="echo \"Error: Failed to download metadata for repo 'x'\"; exit 1\n")
    updates = Updates(kind="security")
    with pytest.raises(HostFailed, match="the repository x cannot be read"):
        updates.plan(gather(host, updates.probes()))


def test_what_a_cut_installation_left_is_installed_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = host.write("/var/lib/rpm/.pgherd-installing", "")
    since = int(trace.stat().st_mtime)
    programs(
        host,
        monkeypatch,
        rpm=f"printf '%s\\n' '{since - 900} bash' '{since} gpg-pubkey' '{since + 2} libpq' '{since + 3} postgresql'\n",
        dnf='echo "$*" >>ROOT/said\n',
    )
    assert converge(host, WholePackages()) == ["install again what a cut installation left"]
    assert host.read("/said") == "-y -q reinstall libpq postgresql\n"
    assert not trace.exists()


def test_an_installation_leaves_a_trace_only_while_it_works(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.root / "var/lib/rpm").mkdir(parents=True)
    programs(
        host,
        monkeypatch,
        rpm="[ -e ROOT/installed ]\n",
        dnf="ls -A ROOT/var/lib/rpm >ROOT/said; case $* in *chrony) : >ROOT/installed ;; *) exit 1 ;; esac\n",
    )
    assert converge(host, Packages(packages=("chrony",))) == ["install chrony"]
    assert host.read("/said") == ".pgherd-installing\n"
    (host.root / "installed").unlink()
    with pytest.raises(HostFailed):
        converge(host, Packages(packages=("nothing",)))
    assert list((host.root / "var/lib/rpm").iterdir()) == []

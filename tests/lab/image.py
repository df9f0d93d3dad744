"""The files that all hosts of a lab begin with: Debian 12 with its dnf, rpm and systemd, shaped like CentOS Stream 9.

Made in three steps: `base` (Debian's packages, and the ones that RPMs are made of later), `shape` (paths, defaults and
accounts where CentOS has them), `finish` (the release, compatibility and marker packages, by dnf itself). How packages
are made is the business of `stock`; where an image is kept, of `cache`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.lab.repository import Repository
from tests.lab.shell import CommandFailed, run, write

SUITE = "bookworm"
DEBIAN = ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")
MIRROR = "http://10.11.12.1:8080/"
"""Where hosts find their repositories: `mirror.py` serves them."""

SYSTEM = """
    base-files base-passwd bash coreutils dash debianutils diffutils dpkg findutils grep gzip init-system-helpers
    libc-bin login mawk mount ncurses-base ncurses-bin passwd perl-base sed sysvinit-utils tar util-linux
    systemd systemd-sysv libpam-systemd dbus openssh-server sudo procps kmod hostname less curl ca-certificates tzdata
    locales iproute2 iputils-ping ethtool netbase perl python3 python3-venv dnf dnf-plugins-core rpm gnupg
"""
"""What a minimal installation of CentOS has."""

LIBRARIES = """
    libicu72 libxml2 libxslt1.1 libldap-2.5-0 libgssapi-krb5-2 liblz4-1 libzstd1 libreadline8 libossp-uuid16 libpci3
    libsensors5 libseccomp2 libwrap0 libestr0 libfastjson4 liblognorm5 libpam0g libuuid1
    polkitd python3-dbus python3-gi gir1.2-glib-2.0 python3-nftables python3-cap-ng
"""
"""What the programs of the repository's packages are linked with or import."""

DPKG = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/fr/*",
)

DNF = """[main]
gpgcheck=1
installonly_limit=3
clean_requirements_on_remove=True
best=True
skip_if_unavailable=False
"""

SSHD = """UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication yes
LogLevel VERBOSE
"""

LANG = '[ -n "$LANG" ] || { [ -r /etc/locale.conf ] && . /etc/locale.conf && export LANG; }\n'

FILES = {
    "etc/dnf/dnf.conf": DNF,
    "etc/environment": 'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"\n',
    "etc/ld.so.conf.d/lib64.conf": "/usr/lib64\n",
    "etc/ld.so.preload": "/usr/lib64/lab-clock.so\n",
    "etc/locale.conf": "LANG=en_US.UTF-8\n",
    "etc/profile.d/lang.sh": LANG,  # without it initdb takes the locale C
    "etc/rpm/macros.dbpath": "%_dbpath /var/lib/rpm\n",  # Debian's rpm keeps its own below root's home
    "etc/ssh/sshd_config.d/10-lab.conf": SSHD,
    "etc/sysconfig/network": "NETWORKING=yes\n",
}

SHAPE = r"""set -eu
ln -sf bash /usr/bin/sh
ln -sf dnf-3 /usr/bin/dnf
ln -sf dnf-3 /usr/bin/yum
mkdir -p /etc/sysconfig/network-scripts /etc/yum.repos.d /etc/pki/rpm-gpg /var/lib/rpm
sed -i 's/^enabled *=.*/enabled = 0/' /etc/dnf/plugins/local.conf

# EL 9's own Python is another than the one that its package python3.11 brings
mv /usr/bin/python3.11 /usr/libexec/platform-python
ln -sf ../libexec/platform-python /usr/bin/python3

groupdel tape                       # 26 is postgres on CentOS; systemd-sysusers would bring it back
groupadd -r wheel
printf '%%wheel ALL=(ALL) ALL\n' >/etc/sudoers.d/00-wheel
printf 'vagrant ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/vagrant
chmod 440 /etc/sudoers.d/*
sed -i '/^#\?CREATE_HOME/d; /^USERGROUPS_ENAB/d' /etc/login.defs
printf 'CREATE_HOME yes\nUSERGROUPS_ENAB yes\n' >>/etc/login.defs
sed -i 's,^#* *SHELL=.*,SHELL=/bin/bash,' /etc/default/useradd
useradd -m -s /bin/bash vagrant
useradd -m -s /bin/bash -G wheel admin
install -d -m 700 /root/.ssh
install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh
install -d -m 700 -o admin -g admin /home/admin/.ssh

localedef -i en_US -f UTF-8 en_US.UTF-8
localedef -i fr_FR -f UTF-8 fr_FR.UTF-8
systemctl mask -q apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service getty@tty1.service systemd-sysusers.service
systemctl enable -q systemd-networkd.service

# each host gets its own
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/hostname /etc/debian_version /etc/os-release /etc/issue
: >/etc/machine-id
ldconfig
"""

ADMIN_PASSWORD = "let me in"
"""What sudo wants of the account `admin`."""


def base(tree: Path, debs: Path, packages: list[str]) -> None:
    """Make the Debian system, and fetch the packages that RPMs are to be made of."""
    debs.mkdir()
    fetch = f"cd {debs} && apt-get -qq -o APT::Sandbox::User=root download {' '.join(packages)}"
    run(
        *(
            "mmdebstrap",
            "--quiet",
            "--variant=custom",
            "--mode=root",
            f"--include={','.join((SYSTEM + LIBRARIES).split())}",
        ),
        *(f"--dpkgopt={option}" for option in DPKG),
        f"--customize-hook={fetch}",
        *(SUITE, tree, *_sources()),
    )


def shape(tree: Path, clock: Path) -> None:
    """Give the Debian system the face of CentOS Stream 9."""
    for name, text in FILES.items():
        write(tree / name, text)
    _compile_clock(clock, tree / "usr/lib64/lab-clock.so")
    run("chroot", tree, "bash", stdin=SHAPE)
    run("chroot", tree, "chpasswd", stdin=f"admin:{ADMIN_PASSWORD}\n")
    for log in (tree / "var/log").glob("*.log"):
        log.unlink()


def finish(tree: Path, repositories: list[Repository], packages: list[str]) -> None:
    """Install packages by the image's own dnf, tell it of the distribution's repository, and prove that every package
    of all repositories could be installed."""
    distribution = repositories[0]
    shutil.copy(distribution.public_key, tree / "etc/pki/rpm-gpg")
    dnf = ["chroot", str(tree), "dnf", "-q", "-y", "--releasever=9"]
    for repository in repositories:
        place = f"file:///mnt/{repository.name}"
        dnf += [f"--repofrompath={repository.name},{place}", f"--setopt={repository.name}.repo_gpgcheck=1"]
        dnf += [f"--setopt={repository.name}.gpgkey={place}/{repository.public_key.name}"]
    with _mounted(distribution.folder.parent, tree):
        run(*dnf, "install", *packages)
        run(*dnf, *(f"--repo={repository.name}" for repository in repositories), "repoclosure")
    definition = distribution.definition(MIRROR, f"file:///etc/pki/rpm-gpg/{distribution.public_key.name}")
    write(tree / f"etc/yum.repos.d/{distribution.name}.repo", definition)
    shutil.rmtree(tree / "var/cache/dnf", ignore_errors=True)


def _sources() -> list[str]:
    """The lines of sources.list for the mirror that this machine uses itself, if it is a Debian of the same suite."""
    try:
        known = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    except (CommandFailed, FileNotFoundError):
        known = ""
    found = {release: uri for uri, release in (line.split() for line in known.splitlines())}
    main = found.get(SUITE, DEBIAN[0])
    security = found.get(f"{SUITE}-security", DEBIAN[1])
    return [f"deb {main} {SUITE} main", f"deb {security} {SUITE}-security main"]


def _compile_clock(source: Path, library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    run("gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source)


@contextlib.contextmanager
def _mounted(mirror: Path, tree: Path) -> Iterator[None]:
    with contextlib.ExitStack() as mounts:
        for options, place in ((("--bind", mirror), tree / "mnt"), (("-t", "proc", "proc"), tree / "proc")):
            run("mount", *options, place)
            mounts.callback(run, "umount", place)
        yield

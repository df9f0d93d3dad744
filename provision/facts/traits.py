"""What a host is: release, machine, init system. On these it depends which resources a host needs at all.

Asked along with every other fact, and kept on the control machine, so that the next run knows what to ask before it
asks. What follows from them (names, paths) is `platforms`' affair.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from provision.errors import HostFailed
from provision.facts.probe import Probe

DISTRIBUTIONS = {
    "almalinux": "AlmaLinux",
    "centos": "CentOS",
    "oracle": "Oracle Linux",
    "rhel": "Red Hat Enterprise Linux",
    "rocky": "Rocky Linux",
}
IDS = {"ol": "oracle", "redhat": "rhel"}
"""What os-release calls them, where we say otherwise."""

RELEASES = range(6, 11)
SUPPORTED = "CentOS, AlmaLinux, Rocky Linux, Red Hat Enterprise Linux and Oracle Linux, 6 to 10"
ASSUMED_RELEASE = 9
"""What a host is planned as while it cannot be asked."""

MEMORY_STEP = 64
"""Megabytes. What the kernel keeps for itself differs from boot to boot, and must not look like another machine."""

Init = Literal["systemd", "sysv"]
Selinux = Literal["enforcing", "permissive", "disabled"]
SELINUX: dict[str, Selinux] = {
    "enforcing": "enforcing",
    "1": "enforcing",
    "permissive": "permissive",
    "0": "permissive",
}
"""As getenforce says it, and as the kernel does."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a host is. release: the major one of Enterprise Linux; stream: of CentOS, whether it is Stream.

    memory_mb: rounded to 64 MB. The defaults are what a host is taken for while nothing is known of it.
    """

    release: int = ASSUMED_RELEASE
    distribution: str = "almalinux"
    stream: bool = False
    architecture: str = "x86_64"
    init: Init = "systemd"
    memory_mb: int = 1024
    cpus: int = 1
    selinux: Selinux = "disabled"

    @classmethod
    def assumed(cls, release: int | None = None) -> Traits:
        """Of a host that nothing is known of but, perhaps, its declared release."""
        chosen = release or ASSUMED_RELEASE
        return cls(
            release=chosen,
            distribution="centos" if chosen < 8 else "almalinux",
            init="sysv" if chosen < 7 else "systemd",
        )

    @classmethod
    def of_this_machine(cls) -> Traits:
        """For hosts on the control machine: its size. Its release matters to nothing there."""
        return cls(memory_mb=_rounded(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024), cpus=_cpus())

    @property
    def system(self) -> str:
        """What people call it: "AlmaLinux 9"."""
        name = DISTRIBUTIONS.get(self.distribution, self.distribution)
        return f"{name}{' Stream' if self.stream else ''} {self.release}"

    def __str__(self) -> str:
        size = f"{self.memory_mb} MB, {self.cpus} CPU{'' if self.cpus == 1 else 's'}"
        return f"{self.system}, {self.architecture}, {self.init}, {size}, SELinux {self.selinux}"

    def agreed(self, declared: int | None) -> Traits:
        """Itself. Raises HostFailed when the inventory says that the host is of another release."""
        if declared is not None and declared != self.release:
            raise HostFailed(
                f"the host is {self.system}, the inventory says release: {declared}.",
                hint="Correct or remove `release`, or the host's address.",
            )
        return self


def _cpus() -> int:
    return os.cpu_count() or 1


ASK = r"""
if [ -r /etc/os-release ]; then
  ( . /etc/os-release; printf '%s\n' "id=$ID" "name=$NAME" "version=$VERSION_ID" )
else
  said=
  for f in /etc/oracle-release /etc/redhat-release; do
    if [ -r $f ]; then said=$(head -n 1 $f); break; fi
  done
  printf '%s\n' "said=$said" "name=$(uname -s)" "version=$(uname -r)"
fi
if [ -d /run/systemd/system ]; then init=systemd; else init=sysv; fi
memory=$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo) || exit 1
# A container's memory is what it may use, not what the machine has.
for f in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
  [ ! -r $f ] || memory=$(awk -v m="$memory" '{ k = int($1 / 1024); print (k > 0 && k < m) ? k : m }' $f)
done
cpus=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || cpus=$(grep -c '^processor' /proc/cpuinfo) || cpus=1
selinux=$(getenforce 2>/dev/null) || selinux=
if [ -z "$selinux" ]; then
  for f in /sys/fs/selinux/enforce /selinux/enforce; do
    [ ! -r $f ] || selinux=$(cat $f)
  done
fi
printf '%s\n' "architecture=$(uname -m)" "init=$init" "memory=$memory" "cpus=$cpus" "selinux=$selinux"
"""


def _parse(text: str) -> Traits:
    found = dict(line.partition("=")[::2] for line in text.splitlines())
    distribution, release = _system(found)
    return Traits(
        release=release,
        distribution=distribution,
        stream="Stream" in found["name"],
        architecture=found["architecture"],
        init="systemd" if found["init"] == "systemd" else "sysv",
        memory_mb=_rounded(int(found["memory"])),
        cpus=int(found["cpus"]),
        selinux=SELINUX.get(found["selinux"].lower(), "disabled"),
    )


def _rounded(kilobytes: int) -> int:
    """In megabytes, to the nearest step."""
    return max(1, round(kilobytes / 1024 / MEMORY_STEP)) * MEMORY_STEP


def _system(found: Mapping[str, str]) -> tuple[str, int]:
    """The distribution and its major release. Raises HostFailed for one that is not supported."""
    if found.get("said"):  # "CentOS release 6.10 (Final)": before 7 there was no os-release
        words = re.match(r"(?P<name>.+?) release (?P<major>\d+)", found["said"])
        name, version = (words["name"], words["major"]) if words else (found["said"], "")
        known = [key for key, full in DISTRIBUTIONS.items() if name.startswith(full)]
        distribution, shown = (known[0] if known else ""), found["said"]
    else:
        version = found["version"]
        named = found.get("id", "")
        distribution = IDS.get(named, named)
        shown = f"{found['name']} {version}".strip()
    major = version.partition(".")[0]
    if distribution not in DISTRIBUTIONS or not major.isdigit() or int(major) not in RELEASES:
        raise HostFailed(
            f"the host is {shown or 'of an unknown system'}, supported are {SUPPORTED}.",
            hint="Install one of these, or take the host out of the inventory.",
        )
    return distribution, int(major)


TRAITS = Probe(ASK, _parse, Traits())


@dataclass(frozen=True)
class KeptTraits:
    """The traits that hosts were last seen with, a file each in a folder of the control machine."""

    folder: Path

    def get(self, host: str) -> Traits | None:
        """What was kept of a host; None when nothing was, or it is of no use any more."""
        try:
            found = json.loads((self.folder / f"{host}.json").read_text())
            return Traits(**found) if found["release"] in RELEASES else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, host: str, traits: Traits) -> None:
        """Write them down, unless they are there."""
        if self.get(host) == traits:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        path = self.folder / f"{host}.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(traits), indent=2) + "\n")
        new.chmod(0o644)
        new.replace(path)

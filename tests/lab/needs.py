"""What a machine must have to be a lab: root, Linux, some of Debian's packages, and kernel features.

`debian-packages` lists the packages, each with a file that it brings; .ci/run reads it as well.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.lab.shell import CommandFailed, run

PACKAGES = Path(__file__).parent / "debian-packages"
REPOSITORIES = ("bookworm", "12")


def missing_packages() -> list[str]:
    """Debian's names of packages that are not there."""
    lines = (line.split() for line in PACKAGES.read_text().splitlines())
    return [package for package, file in lines if not Path(file).exists()]


def install(packages: list[str]) -> None:
    """Install packages of Debian's, as root."""
    options = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "-q", "update", env=options)
    run("apt-get", "-q", "-y", "install", "--no-install-recommends", *packages, env=options)


def reason_against() -> str:
    """Why this machine cannot be a lab; empty if it can."""
    if sys.platform != "linux":
        return "a lab of real hosts needs Linux"
    if os.geteuid() != 0:
        return "a lab of real hosts needs root"
    if packages := missing_packages():
        return (
            f"a lab of real hosts needs Debian's packages {' '.join(packages)} (apt-get install {' '.join(packages)})"
        )
    try:
        run("unshare", "--net", "--mount", "--pid", "--fork", "true")
        run("losetup", "--find")
    except CommandFailed as error:
        return f"a lab of real hosts needs namespaces and loop devices: {error}"
    return ""


def on_debian() -> bool:
    """Can packages be installed here?"""
    return shutil.which("apt-get") is not None

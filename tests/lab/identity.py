"""What sets one host apart from another: name, address, identity of the system, keys."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from tests.lab.network import CONTROL
from tests.lab.shell import run, write

ACCOUNTS = ("root", "home/vagrant", "home/admin")
HOST_KEY = "etc/ssh/ssh_host_ed25519_key"
NETWORK = f"""[Match]
Name=eth0
[Network]
Address={{address}}/24
Gateway={CONTROL}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
HOSTS = """127.0.0.1   localhost localhost.localdomain localhost4 localhost4.localdomain4
::1         localhost localhost.localdomain localhost6 localhost6.localdomain6
"""


def write_to(root: Path, name: str, address: str, key: Path) -> None:
    """Give the files of a host its identity; whoever has the key may log in to every account."""
    write(root / "etc/hostname", f"{name}\n")
    write(root / "etc/hosts", HOSTS)
    write(root / "etc/machine-id", f"{uuid.uuid4().hex}\n")
    write(root / "etc/resolv.conf", f"nameserver {CONTROL}\n")  # where nobody answers: refused, not waited for
    write(root / "etc/systemd/network/10-eth0.network", NETWORK.format(address=address))
    write(root / "etc/lab-clock", "\0" * 16)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", root / HOST_KEY)
    allowed = key.with_suffix(".pub").read_text()
    for account in ACCOUNTS:
        folder = root / account / ".ssh"
        keys = write(folder / "authorized_keys", allowed, 0o600)
        os.chown(keys, folder.stat().st_uid, folder.stat().st_gid)


def host_key(root: Path) -> str:
    """A host's public key, without the comment."""
    return " ".join((root / f"{HOST_KEY}.pub").read_text().split()[:2])

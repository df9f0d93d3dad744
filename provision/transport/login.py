"""How to log in to a host, with what is needed to become root there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provision.inventory import Host, HostKeys
from provision.secrets import Keeper, Secret

LOGIN = "login"
SUDO = "sudo"
"""What passwords are asked for, where the inventory has none."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """Shared by `OpenSSH` and `SSH`. None: what ssh_config or ssh itself says. sudo: scripts run as root, by sudo.

    jump: hosts to go through, as ssh's ProxyJump; proxy: a command to go through, as its ProxyCommand.
    """

    host: str
    port: int | None = None
    user: str | None = None
    password: Secret | None = None
    key_file: Path | None = None
    config: Path | None = None
    host_keys: HostKeys = HostKeys.STRICT
    jump: str = ""
    proxy: str = ""
    sudo: bool = False
    become_password: Secret | None = None


def login_to(host: Host, keeper: Keeper) -> Login:
    """The login of a host of the inventory. Raises InputError for a password that cannot be had."""
    password = keeper.fetch(host.password) if host.password else keeper.asked(LOGIN)
    become = host.become.password if host.become else None
    return Login(
        host=host.ssh_host or host.address,
        port=host.port,
        user=host.user,
        password=password,
        key_file=host.key_file,
        config=host.ssh_config,
        host_keys=host.host_keys,
        jump=host.jump,
        proxy=host.proxy_command,
        sudo=host.become is not None,
        become_password=keeper.fetch(become) if become else keeper.asked(SUDO),
    )

"""How a host is reached: `connection`, `address`, `ssh` and `become`, and Ansible's variables for the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from provision.inventory import ssh_args
from provision.inventory.marks import Mark, Node
from provision.inventory.model import ConnectionKind, HostKeys
from provision.inventory.values import Port, Secretly, Section, Whole, Word

FROM_ANSIBLE: dict[str, dict[str, tuple[str, ...]]] = {
    "host": {"connection": ("ansible_connection",)},
    "ssh": {
        "host": ("ansible_ssh_host", "ansible_host"),
        "port": ("ansible_ssh_port", "ansible_port"),
        "user": ("ansible_ssh_user", "ansible_user"),
        "password": ("ansible_ssh_password", "ansible_ssh_pass", "ansible_password"),
        "key_file": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
        "host_keys": ("ansible_ssh_host_key_checking", "ansible_host_key_checking"),
    },
    "become": {
        "enabled": ("ansible_become",),
        "method": ("ansible_become_method",),
        "user": ("ansible_become_user",),
        "password": ("ansible_become_pass", "ansible_become_password"),
    },
}
"""By section and key, Ansible's variables for it, the preferred one last."""

ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
"""Variables with options for the ssh program, the strongest last; see `ssh_args`."""


def _kind(value: object) -> object:
    return "ssh" if value in ("smart", "paramiko", "paramiko_ssh") else value


def _host_keys(value: object) -> object:
    return {True: "strict", False: "off"}[value] if isinstance(value, bool) else value


class HostSettings(Section):
    """Variables that stand for themselves."""

    connection: Annotated[ConnectionKind, BeforeValidator(_kind)] = ConnectionKind.SSH
    address: Word | None = None
    fallback_port: Port | None = None
    release: Annotated[Whole, Field(ge=6, le=10)] | None = None
    tuning: bool | None = None


class SshSettings(Section):
    """The `ssh` section."""

    host: Word | None = None
    port: Port | None = None
    user: Word | None = None
    password: Secretly | None = None
    key_file: Path | None = None
    config: Path | None = None
    host_keys: Annotated[HostKeys, BeforeValidator(_host_keys)] = HostKeys.STRICT
    jump: Word | None = None
    proxy_command: Word | None = None


class BecomeSettings(Section):
    """The `become` section. `become: yes` is short for `{enabled: yes}`; a section that is there is enabled."""

    enabled: bool = False
    method: Literal["sudo"] = "sudo"
    user: Word = "root"
    password: Secretly | None = None


def section(name: str, values: Mapping[str, Node], mark: Mark) -> Node:
    """A section of `host`, `ssh` or `become` as one mapping, put together from pgherd's variables and Ansible's."""
    entries: dict[str, Node] = {}
    if name == "ssh":
        for variable in ARGUMENTS:
            entries |= ssh_args.read(values[variable]).settings if variable in values else {}
    for key, variables in FROM_ANSIBLE[name].items():
        for variable in variables:
            if variable in values:
                entries[key] = values[variable]
    if name == "host":
        own = {key: values[key] for key in HostSettings.model_fields if key in values}
        return Node({**entries, **own}, mark)
    given = values.get(name)
    if given is None or given.value is None:
        return Node(entries, mark)
    if name == "become" and isinstance(given.value, bool):
        return Node({**entries, "enabled": given}, given.mark)
    if not isinstance(given.value, dict):
        return given
    present = {"enabled": Node(True, given.mark)} if name == "become" else {}
    return Node({**entries, **present, **given.items}, given.mark)


def path_of(path: Path | None, mark: Mark) -> Path | None:
    """A path as written, made absolute: `~` is the user's home, a relative one starts beside the file that names it."""
    return None if path is None else (Path(mark.file).parent / path.expanduser()).resolve()


def is_named_in(config: Path | None, name: str) -> bool:
    """Whether an ssh_config has a host of that very name, as the one that Vagrant writes has; patterns do not count."""
    if config is None:
        return False
    import paramiko  # noqa: PLC0415 - loads slowly, and local hosts have no use for it

    try:
        return name in paramiko.SSHConfig.from_path(str(config)).get_hostnames()
    except (OSError, paramiko.ConfigParseError):
        return False

"""What is allowed in an inventory and should be known all the same: said once, with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from provision.inventory import ssh_args
from provision.inventory.draft import Draft
from provision.inventory.marks import Node
from provision.inventory.model import Notice
from provision.inventory.reach import ARGUMENTS, path_of
from provision.inventory.replication import CONTROL
from provision.inventory.variables import SECRET
from provision.inventory.yaml_file import WRITTEN


def notices(
    draft: Draft, hosts: Mapping[str, Mapping[str, Node]], replication: Node | None, *, remote: bool
) -> tuple[Notice, ...]:
    """Every notice, by file and line. hosts: each host's variables; remote: whether a host is another machine."""
    found: dict[Notice, None] = {}
    here = replication is not None and replication.text("runs_on") == CONTROL
    if replication and remote and here and not replication.find("allow_from"):
        message = (
            "allow_from is not given: the replicator runs here, and other hosts refuse it until they know from where"
        )
        found[Notice(replication.mark, message)] = None
    for group in draft.groups.values():
        if group.name in draft.hosts and group.mark:
            found[Notice(group.mark, f"{group.name!r} is the name of a group and of a host; patterns mean both")] = None
    for mark in draft.encrypted:
        message = (
            "is encrypted by Ansible Vault and was not read: give its passphrase, by ANSIBLE_VAULT_PASSWORD_FILE say"
        )
        found[Notice(mark, message)] = None
    for values in hosts.values():
        found.update(
            dict.fromkeys(
                [
                    *_plain(values),
                    *_trust(values),
                    *_unread(values),
                    *_forwarded(values),
                    *_clear(values),
                    *_ssh(values),
                    *_become(values),
                ]
            )
        )
    return tuple(sorted(found, key=lambda notice: (notice.mark.file, notice.mark.line)))


def _trust(values: Mapping[str, Node]) -> Iterator[Notice]:
    server = values.get("postgresql")
    if server is None:
        return
    if server.text("auth") == "trust":
        message = "auth: trust lets whoever reaches the port in without a password; use scram-sha-256"
        yield Notice(server.place("auth"), message)
    for index, _ in enumerate(rules.elements if (rules := server.find("access")) else ()):
        if server.text("access", index, "auth") == "trust":
            yield Notice(server.place("access", index, "auth"), "auth: trust lets these users in without a password")


def _plain(values: Mapping[str, Node]) -> Iterator[Notice]:
    tls = values.get("tls")
    chosen = tls.find("enabled") if tls and tls.items else tls
    kind = values.get("connection") or values.get("ansible_connection")
    if chosen and chosen.value is False and not (kind and kind.value == "local"):
        yield Notice(chosen.mark, "tls: no sends rows in clear over the network, for whoever listens")


def _forwarded(values: Mapping[str, Node]) -> Iterator[Notice]:
    host = values.get("ansible_host")
    if host is None or "address" in values or "connection" in values or "ansible_connection" in values:
        return
    if str(host.value).startswith("127."):
        message = "this leads from here to the host; say by address where the other nodes find it"
        yield Notice(host.mark, message)


def _unread(values: Mapping[str, Node]) -> Iterator[Notice]:
    for name in (name for name in ARGUMENTS if name in values):
        unread = ssh_args.read(values[name]).unread
        if unread:
            yield Notice(
                values[name].mark,
                f"{' '.join(unread)} is not read; name a file with such settings as ssh: {{config: ...}}",
            )


def _clear(values: Mapping[str, Node]) -> Iterator[Notice]:
    for name, node in values.items():
        yield from _clear(node.items)
        if SECRET.search(name) and isinstance(node.value, str) and node.value:
            yield Notice(node.mark, f"{name} seems to be a secret in clear; write {WRITTEN}")


def _become(values: Mapping[str, Node]) -> Iterator[Notice]:
    become = values.get("become")
    user = (become.find("user") if become and become.items else None) or values.get("ansible_become_user")
    if user and isinstance(user.value, str) and user.value != "root":
        yield Notice(user.mark, f"hosts are set up as root, not as {user.value}: leave the user of become out")


def _ssh(values: Mapping[str, Node]) -> Iterator[Notice]:
    ssh = values.get("ssh")
    if ssh is None:
        return
    keys = ssh.find("host_keys")
    if keys is not None and keys.value in (False, "off"):
        yield Notice(keys.mark, "host_keys: off takes any machine for the host; for throw-away machines only")
    config, place = ssh.text("config"), ssh.place("config")
    path = path_of(Path(config), place) if config else None
    if path and not path.is_file():
        yield Notice(place, f"there is no {path}: ssh's usual configuration is used")

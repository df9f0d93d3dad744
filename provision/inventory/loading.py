"""From files to an `Inventory`: read, merge, resolve, validate, check; every fault of every step in one error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from provision.inventory import checks
from provision.inventory.draft import Draft
from provision.inventory.effective import Effective, effective
from provision.inventory.faults import Faults
from provision.inventory.files import read_all
from provision.inventory.hosts import HostBuilder, can_listen
from provision.inventory.marks import Mark, Node
from provision.inventory.model import Host, Inventory
from provision.inventory.notices import notices
from provision.inventory.replication import ReplicationSettings
from provision.inventory.validation import validate
from provision.inventory.wording import shown
from provision.inventory.yaml_file import Unlock

SECRETS_FILE = "secrets.enc"
"""What `!secret` refers to, beside the inventory, unless `secrets_file` names another."""


def load(
    path: Path | str,
    *more: Path | str,
    listens: Callable[[str], bool] = can_listen,
    unlock: Unlock | None = None,
) -> Inventory:
    """Read an inventory: a file, several, or a folder. Raises InputError with every fault that is in it.

    listens: whether this machine can listen at a loopback address (if not, a local host falls back to 127.0.0.1).
    unlock: opens variable files that are encrypted as a whole.
    """
    faults = Faults()
    draft = Draft(faults)
    first = Path(path)
    folder = first if first.is_dir() else first.parent
    files = read_all([first, *(Path(other) for other in more)], draft, faults, unlock)
    if not draft.check_loops() or faults.fatal:
        faults.raise_if_any()
    if not draft.hosts and not faults:
        faults.add(Mark(str(first)), "found no hosts, expected at least one (`all: hosts:`)")
    found = effective(draft, first, faults)
    hosts = _hosts(draft, found, faults, listens)
    replication = _replication(found, faults)
    _check(draft, found, hosts, faults)
    state_dir = _state_dir(first, found, faults)
    secrets_file = _named_path("secrets_file", found, faults) or folder / SECRETS_FILE
    serial = _serial(found, faults)
    faults.raise_if_any()
    return Inventory(
        name=_name(first),
        folder=folder,
        state_dir=state_dir,
        secrets_file=secrets_file,
        serial=serial,
        files=files,
        hosts=tuple(hosts.values()),
        groups=found.groups,
        replication=replication,
        warnings=notices(
            draft, found.hosts, found.shared.get("replication"), remote=not all(host.local for host in hosts.values())
        ),
        origins=found.origins,
        tree=found.shared.get("replication"),
    )


def _hosts(draft: Draft, found: Effective, faults: Faults, listens: Callable[[str], bool]) -> dict[str, Host]:
    builder = HostBuilder(faults, listens)
    return {
        name: builder.build(name, host.mark, found.lineages[name], found.hosts[name])
        for name, host in draft.hosts.items()
    }


def _replication(found: Effective, faults: Faults) -> ReplicationSettings | None:
    node = found.shared.get("replication")
    return None if node is None or node.value is None else validate(ReplicationSettings, node, faults)


def _check(draft: Draft, found: Effective, hosts: dict[str, Host], faults: Faults) -> None:
    replication = found.shared.get("replication")
    names = {*hosts, *found.groups}
    places: list[tuple[Host, Mark]] = []
    for name, host in hosts.items():
        values = found.hosts[name]
        place = values["address"].mark if "address" in values else draft.hosts[name].mark
        checks.check_address(host.address, place, faults)
        places.append((host, place))
        if "postgresql" in values:
            checks.check_server(host, values["postgresql"], names, faults)
        if "pgbench" in values:
            checks.check_pgbench(host, values["pgbench"], replication, faults)
    checks.check_places(places, faults)
    if replication is not None:
        checks.ReplicationCheck(replication, list(hosts), list(found.groups), faults).run()


def _name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def _serial(found: Effective, faults: Faults) -> int:
    node: Node | None = found.shared.get("serial")
    if node is None or node.value is None or node.broken:
        return 0
    if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 0:
        return node.value
    faults.add(node.mark, f"found {shown(node.plain())}, expected a number of hosts, or 0 for all at once")
    return 0


def _state_dir(path: Path, found: Effective, faults: Faults) -> Path:
    """Where this machine keeps what belongs to the inventory: secrets, and for local hosts the servers themselves."""
    named = _named_path("state_dir", found, faults)
    if named:
        return named
    if os.geteuid() == 0:
        return Path("/var/lib/pgherd") / _name(path)
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "pgherd" / _name(path)


def _named_path(name: str, found: Effective, faults: Faults) -> Path | None:
    """A path on this machine that a variable of the inventory names; a relative one begins beside its file."""
    node: Node | None = found.shared.get(name)
    if node is not None and isinstance(node.value, str) and node.value:
        return (Path(node.mark.file).parent / Path(node.value).expanduser()).resolve()
    if node is not None and not node.broken:
        faults.add(node.mark, f"found {shown(node.plain())}, expected a path")
    return None

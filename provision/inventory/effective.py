"""The variables of each host as they come out: which groups it is in, which scope wins, what references resolve to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.inventory.draft import ALL, Draft
from provision.inventory.faults import Faults
from provision.inventory.marks import Node, Origin
from provision.inventory.reach import ARGUMENTS, FROM_ANSIBLE
from provision.inventory.variables import ONCE, OWN, HostVars, Resolver, check_names, merge
from provision.inventory.wording import shown

ANSIBLE = {name for section in FROM_ANSIBLE.values() for names in section.values() for name in names}
NEEDED = {*OWN, *ARGUMENTS, *ANSIBLE}
"""Variables that pgherd reads of hosts."""


@dataclass(frozen=True, kw_only=True)
class Effective:
    """What holds for whom.

    shared: the variables of ONCE; hosts: all others, by host; lineages: each host's groups but `all`, outermost first.
    """

    shared: Mapping[str, Node]
    hosts: Mapping[str, Mapping[str, Node]]
    origins: Mapping[str, Mapping[str, tuple[Origin, ...]]]
    groups: Mapping[str, tuple[str, ...]]
    lineages: Mapping[str, tuple[str, ...]]


def effective(draft: Draft, path: Path, faults: Faults) -> Effective:
    """Merge and resolve everything. The draft's groups must be without loops."""
    groups = draft.members()
    lineages = _lineages(draft, groups)
    merged = {name: merge(draft.scopes(name, [ALL, *lineages[name]])) for name in draft.hosts}
    shared, _ = merge(draft.shared())
    resolvers: dict[str, Resolver] = {}
    magic = {**_magic(path, groups), "hostvars": HostVars(resolvers)}
    for name, (values, origins) in merged.items():
        _check_scopes(origins, faults)
        own = {variable: node for variable, node in values.items() if variable not in ONCE}
        resolvers[name] = Resolver(own, {**magic, **_own_magic(name, lineages[name])}, faults)
    whole = Resolver(shared, magic, faults)
    once = {name: whole.variable(name) for name in ONCE if name in shared}
    for resolver in resolvers.values():
        resolver.resolve(NEEDED)
    hosts = {name: resolver.all() for name, resolver in resolvers.items()}
    used = whole.used.union(*(resolver.used for resolver in resolvers.values()))
    for variables in (shared, *hosts.values()):
        check_names(variables, used, faults)
    places = {name: origins for name, (_, origins) in merged.items()}
    return Effective(shared=once, hosts=hosts, origins=places, groups=groups, lineages=lineages)


def _magic(path: Path, groups: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """What Ansible lets every expression know."""
    return {
        "groups": {name: list(members) for name, members in groups.items()},
        "inventory_dir": str((path if path.is_dir() else path.parent).resolve()),
        "inventory_file": str(path.resolve()),
    }


def _own_magic(host: str, lineage: tuple[str, ...]) -> dict[str, object]:
    """What Ansible lets the expressions of a host know."""
    return {
        "inventory_hostname": host,
        "inventory_hostname_short": host.split(".", maxsplit=1)[0],
        "group_names": sorted(lineage),
    }


def _lineages(draft: Draft, members: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Each host's groups in Ansible's order of precedence: by depth, then priority, then name."""
    depths = draft.depths()
    order = sorted(
        (name for name in draft.groups if name != ALL), key=lambda name: (depths[name], _priority(draft, name), name)
    )
    inside = {name: set(members[name]) for name in order}
    return {host: tuple(name for name in order if host in inside[name]) for host in draft.hosts}


def _priority(draft: Draft, name: str) -> int:
    group = draft.groups[name]
    given = [node.items.get("ansible_group_priority") for node in (*group.vars, *group.files)]
    chosen = next((node for node in reversed(given) if node), None)
    if chosen is None:
        return 1
    if isinstance(chosen.value, int):
        return chosen.value
    draft.faults.add(chosen.mark, f"found {shown(chosen.plain())}, expected a whole number")
    return 1


def _check_scopes(origins: Mapping[str, tuple[Origin, ...]], faults: Faults) -> None:
    for name in ONCE:
        for origin in origins.get(name, ()):
            if origin.scope != f"group {ALL}":
                faults.add(origin.mark, f"found {name} for {origin.scope}, expected it once, under `all: vars:`")

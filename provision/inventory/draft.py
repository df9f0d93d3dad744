"""Groups, hosts and their variables as they are collected from files, before anything is merged or judged.

`yaml_layout` and `ini_file` fill a draft; `variables` reads it. Scopes follow Ansible: what a file of group_vars/ says
beats what the inventory file says of any group, and so on upward to host_vars/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from provision.inventory.faults import Faults
from provision.inventory.marks import Mark, Node, wrap
from provision.inventory.ranges import expand, split_port

HOST_NAME = re.compile(r"\w[\w.:-]*")
ALL = "all"
UNGROUPED = "ungrouped"


@dataclass
class GroupDraft:
    """A group. vars, files: its variables from the inventory and from group_vars/, in reading order."""

    name: str
    mark: Mark | None = None
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, Mark] = field(default_factory=dict)
    vars: list[Node] = field(default_factory=list)
    files: list[Node] = field(default_factory=list)


@dataclass
class HostDraft:
    """A host. vars, files: its variables by source (inventory, host_vars/), in reading order."""

    name: str
    mark: Mark
    vars: list[Node] = field(default_factory=list)
    files: list[Node] = field(default_factory=list)


Scope = tuple[str, Node]
"""Whose variables (`group nodes`, `host master`) and the mapping of them."""


class Draft:
    """What the files of one inventory say, put together. encrypted: files that ansible-vault keeps."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.groups: dict[str, GroupDraft] = {ALL: GroupDraft(ALL), UNGROUPED: GroupDraft(UNGROUPED)}
        self.hosts: dict[str, HostDraft] = {}
        self.encrypted: list[Mark] = []

    def group(self, name: str, mark: Mark) -> GroupDraft:
        """The group of a name, made when it is new."""
        group = self.groups.setdefault(name, GroupDraft(name))
        group.mark = group.mark or mark
        return group

    def add_child(self, parent: str, child: str, mark: Mark) -> None:
        """Put a group under another."""
        self.group(child, mark)
        self.groups[parent].children.setdefault(child, mark)

    def add_hosts(self, group: str, entry: str, values: Node | None, mark: Mark) -> None:
        """Put the hosts of an entry (a name or range, perhaps with a port) into a group."""
        pattern, port = split_port(entry)
        try:
            names = expand(pattern)
        except ValueError as error:
            self.faults.add(mark, str(error))
            return
        for name in names:
            self._add_host(group, name, mark, values, port)

    def _add_host(self, group: str, name: str, mark: Mark, values: Node | None, port: int | None) -> None:
        if not HOST_NAME.fullmatch(name):
            self.faults.add(mark, f"found {name!r}, expected a host's name: letters, digits, dots, dashes, underscores")
            return
        host = self.hosts.setdefault(name, HostDraft(name, mark))
        self.groups[group].hosts[name] = None
        if port is not None:
            host.vars.append(wrap({"ansible_port": port}, mark))
        if values is not None:
            host.vars.append(values)

    def parents(self) -> dict[str, list[str]]:
        """Each group's parents; every group but `all` has at least that."""
        parents: dict[str, list[str]] = {name: [] for name in self.groups}
        for group in self.groups.values():
            for child in group.children:
                parents[child].append(group.name)
        return {name: found or ([ALL] if name != ALL else []) for name, found in parents.items()}

    def check_loops(self) -> bool:
        """Report groups that contain themselves; True when there are none."""
        done: set[str] = set()
        fine = True
        for name in self.groups:
            fine = self._descend(name, [], done) and fine
        return fine

    def _descend(self, name: str, way: list[str], done: set[str]) -> bool:
        if name in way:
            loop = " > ".join([*way[way.index(name) :], name])
            mark = self.groups[way[-1]].children[name]
            self.faults.add(mark, f"found a group inside of itself ({loop}), expected groups without loops")
            return False
        if name in done:
            return True
        loops = [child for child in self.groups[name].children if not self._descend(child, [*way, name], done)]
        done.add(name)
        return not loops

    def depths(self) -> dict[str, int]:
        """How far each group is from `all`, by the longest way. Needs `check_loops`."""
        parents = self.parents()
        depths: dict[str, int] = {}

        def depth(name: str) -> int:
            if name not in depths:
                depths[name] = max((depth(parent) + 1 for parent in parents[name]), default=0)
            return depths[name]

        for name in self.groups:
            depth(name)
        return depths

    def members(self) -> dict[str, tuple[str, ...]]:
        """The hosts of each group, those of its children included, in the order of the hosts. Needs `check_loops`."""
        grouped = {host for group in self.groups.values() if group.name not in (ALL, UNGROUPED) for host in group.hosts}
        direct = {name: set(group.hosts) for name, group in self.groups.items()}
        direct[ALL] = set(self.hosts)
        direct[UNGROUPED] = set(self.hosts) - grouped

        def collect(name: str) -> set[str]:
            return direct[name].union(*(collect(child) for child in self.groups[name].children))

        found = {name: collect(name) for name in self.groups}
        return {name: tuple(host for host in self.hosts if host in inside) for name, inside in found.items()}

    def scopes(self, host: str, lineage: list[str]) -> list[Scope]:
        """The variables that hold for a host, weakest first. lineage: its groups, outermost first, `all` included."""
        groups = [self.groups[name] for name in lineage]
        scopes = [(f"group {group.name}", node) for group in groups for node in group.vars]
        scopes += [(f"group {group.name}", node) for group in groups for node in group.files]
        draft = self.hosts[host]
        return scopes + [(f"host {host}", node) for node in (*draft.vars, *draft.files)]

    def shared(self) -> list[Scope]:
        """The variables of `all` alone, weakest first."""
        group = self.groups[ALL]
        return [(f"group {ALL}", node) for node in (*group.vars, *group.files)]

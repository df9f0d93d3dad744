"""What has to agree with something else in the inventory: names with what they name, addresses with each other.

All of it is read from the tree, not from validated settings, so that a fault in one value hides none in another. The
tables and servers themselves are looked at later, by whoever can connect to them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from provision.inventory.faults import Faults
from provision.inventory.marks import Mark, Node
from provision.inventory.model import Host
from provision.inventory.replication import CONTROL, STRATEGIES
from provision.inventory.settings import EMBEDDED_VERSIONS, VERSIONS
from provision.inventory.wording import known, shown, suggestion

NO_NAMES = ("samehost", "samenet")
REMOTE = ("ssh", "openssh", "smart", "paramiko", "paramiko_ssh")
BESIDE_OPTIONS = ("host", "port", "dbname", "user")


def _members(group: Node) -> Sequence[tuple[str, Mark]]:
    """The databases of a dbgroup: a list of them, or a mapping of them to roles."""
    return [(name, role.mark) for name, role in group.items.items()] or group.texts


def is_network(text: str) -> bool:
    """Whether a text is an IP address or network."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def check_address(text: str, mark: Mark, faults: Faults) -> None:
    """Report an address that is neither an IP address nor a host name."""
    numeric = text.replace(".", "").isdigit() or ":" in text
    if not text or any(sign in text for sign in " /,'\"") or (numeric and not is_network(text)):
        faults.add(mark, f"found {text!r}, expected an IP address or a host name")


def check_origins(node: Node | None, names: Collection[str], faults: Faults) -> None:
    """Report origins of connections that are no address, network, host or group. names: the hosts and groups."""
    for text, mark in node.texts if node else ():
        if text not in NO_NAMES and text not in names and not is_network(text):
            guess = suggestion(text, names)
            message = f"found {text!r}, expected an address, a network, a host or a group"
            faults.add(mark, f"{message}; {guess}" if guess else message)


def check_server(host: Host, node: Node, names: Collection[str], faults: Faults) -> None:
    """What of a host's `postgresql` depends on something else. names: the hosts and groups."""
    if node.text("source") == "embedded":
        _check_embedded(host, node, faults)
    rules = node.find("access")
    for rule in rules.elements if rules else ():
        check_origins(rule.find("from"), names, faults)
    listen = node.find("listen")
    for text, mark in listen.texts if listen else ():
        if text != "*":
            check_address(text, mark, faults)


def _check_embedded(host: Host, node: Node, faults: Faults) -> None:
    remote = host.vars.get("connection", host.vars.get("ansible_connection", "ssh")) in REMOTE
    if not host.local and remote:
        message = f"found embedded for {host.name}, which is another machine; expected pgdg or distribution"
        faults.add(node.place("source"), message)
    elif host.tls and host.local:
        message = "found embedded, whose programs are built without TLS; expected system, or tls: no"
        faults.add(node.place("source"), message)
    version = node.find("version")
    if version and version.value in [number for number in VERSIONS if number not in EMBEDDED_VERSIONS]:
        versions = " or ".join(map(str, EMBEDDED_VERSIONS))
        faults.add(version.mark, f"found {shown(version.plain())}, expected {versions}: what source: embedded has")


def check_places(hosts: Sequence[tuple[Host, Mark]], faults: Faults) -> None:
    """Report servers that would listen at the same place."""
    taken: dict[tuple[str, int], tuple[Host, Mark]] = {}
    for host, mark in hosts:
        place = (host.address, host.postgresql.port)
        other, first = taken.setdefault(place, (host, mark))
        if other is not host:
            where = f"{place[0]}:{place[1]}"
            faults.add(mark, f"found {where}, which is also {other.name}'s ({first}), expected a place of its own")


def check_pgbench(host: Host, node: Node, replication: Node | None, faults: Faults) -> None:
    """Report databases to fill that the host does not have."""
    databases = replication.entries("databases") if replication else {}
    here = [name for name, database in databases.items() if database.text("host") == host.name]
    wanted = node.find("databases")
    for text, mark in wanted.texts if wanted else ():
        if text not in here:
            faults.add(mark, f"found {text!r}, which is no database of {host.name}; {known(text, here)}")


@dataclass(frozen=True)
class ReplicationCheck:
    """Checks the names in a `replication` section. hosts, groups: the inventory's names."""

    node: Node
    hosts: Collection[str]
    groups: Collection[str]
    faults: Faults

    @property
    def databases(self) -> Mapping[str, Node]:
        """The declared databases."""
        return self.node.entries("databases")

    def run(self) -> None:
        """Report everything that does not fit."""
        self._check_hosts()
        self._check_databases()
        for name, group in self.node.entries("dbgroups").items():
            self._check_group(name, group)
        for herd in self.node.entries("herds").values():
            self._check_herd(herd)
        for sync in self.node.entries("syncs").values():
            self._check_sync(sync)

    def _check_hosts(self) -> None:
        for place in [self.node.find("catalog"), *self.databases.values()]:
            self._check_known(place.find("host") if place else None, self.hosts, "host")
        if self.node.text("runs_on") != CONTROL:
            self._check_known(self.node.find("runs_on"), [*self.hosts, CONTROL], "host")
        check_origins(self.node.find("allow_from"), {*self.hosts, *self.groups}, self.faults)

    def _check_known(self, node: Node | None, names: Collection[str], what: str) -> bool:
        """Report names that are not among `names`; whether all were."""
        return self._check_names(node.texts if node else (), names, what)

    def _check_names(self, texts: Iterable[tuple[str, Mark]], names: Collection[str], what: str) -> bool:
        fine = True
        for text, mark in texts:
            if text not in names:
                self.faults.add(mark, f"found the unknown {what} {text!r}; {known(text, names)}")
                fine = False
        return fine

    def _check_databases(self) -> None:
        catalog = (self.node.text("catalog", "host"), self.node.text("catalog", "dbname") or "pgherd")
        seen = {catalog: "the catalog"}
        for name, database in self.databases.items():
            place = (database.text("host"), database.text("dbname") or name)
            if place in seen:
                self.faults.add(database.mark, f"found the same database as {seen[place]}, expected one of its own")
            seen.setdefault(place, name)
            for option, value in database.entries("options").items():
                self._check_option(option, value)

    def _check_option(self, option: str, value: Node) -> None:
        if option == "password":
            self.faults.add(value.mark, "found a password, expected replication.role_password instead")
        elif option in BESIDE_OPTIONS:
            self.faults.add(value.mark, f"found {option} in options, expected it beside them (port: at the host)")

    def _check_group(self, name: str, group: Node) -> None:
        if name in self.databases:
            self.faults.add(group.mark, f"found {name!r}, which is a database too, expected a name of its own")
        listed = _members(group)
        if not group.broken and not listed:
            self.faults.add(group.mark, "found no members, expected at least one database")
        self._check_names(listed, self.databases, "database")
        self._check_twice(group)

    def _check_herd(self, herd: Node) -> None:
        self._check_known(herd.find("database"), self.databases, "database")
        tables, exclude = herd.find("tables"), herd.find("exclude")
        if not (tables and (tables.texts or tables.broken)) and herd.find("sequences") is None:
            self.faults.add(herd.place("tables"), "found no tables, expected a list of them or all")
        if exclude and exclude.texts and herd.text("tables") != "all":
            self.faults.add(exclude.mark, "found tables to leave out, expected them only with tables: all")
        for part in ("tables", "exclude", "sequences"):
            self._check_twice(herd.find(part))

    def _check_twice(self, node: Node | None) -> None:
        seen: set[str] = set()
        for text, mark in node.texts if node else ():
            if text in seen:
                self.faults.add(mark, f"found {text!r} a second time, expected it once")
            seen.add(text)

    def _check_sync(self, sync: Node) -> None:
        herds = self.node.entries("herds")
        source = sync.text("source")
        if source in self.databases and source not in herds:
            message = f"found the database {source!r}, expected a herd (tables of a database)"
            self.faults.add(sync.place("source"), message)
        else:
            self._check_known(sync.find("source"), herds, "herd")
        places = [*self.databases, *self.node.entries("dbgroups")]
        targets_known = self._check_known(sync.find("targets"), places, "database or dbgroup")
        strategy = sync.find("strategy")
        if strategy and sync.text("type") in ("pushdelta", "fullcopy"):
            message = f"found a strategy for a {sync.text('type')}, expected it only for a swap"
            self.faults.add(strategy.mark, message)
        for name in ("counters", "strategies", "sequences", "sequence_step"):
            if (found := sync.find(name)) and sync.text("type") in ("pushdelta", "fullcopy"):
                self.faults.add(found.mark, f"found {name} for a {sync.text('type')}, expected this only for a swap")
        if targets_known and source in herds:
            self._check_reach(sync, herds[source].text("database"))

    def _check_reach(self, sync: Node, source: str | None) -> None:
        targets = sync.find("targets")
        if targets is None or targets.broken:
            return
        groups = self.node.entries("dbgroups")
        reached: set[str | None] = set()
        for target, _ in targets.texts:
            grouped = target in groups and target not in self.databases
            reached |= {name for name, _ in _members(groups[target])} if grouped else {target}
        reached.discard(source)
        if not reached:
            message = "found no target other than the source, expected a database or a dbgroup"
            self.faults.add(targets.mark, message)
            return
        self._check_strategy(sync.find("strategy"), {source, *reached})
        for strategy in sync.entries("strategies").values():
            self._check_strategy(strategy, {source, *reached})

    def _check_strategy(self, strategy: Node | None, members: set[str | None]) -> None:
        for text, mark in strategy.texts if strategy else ():
            for name in text.split(",") if ":" not in text and text not in STRATEGIES else ():
                if name.strip() not in members:
                    choice = [*STRATEGIES, *sorted(filter(None, members))]
                    guess = suggestion(name.strip(), choice)
                    expected = (
                        f"; {guess}" if guess else f", expected one of {', '.join(choice)}, sql:... or python:..."
                    )
                    self.faults.add(mark, f"found the strategy {name.strip()!r}{expected}")

"""What the runs of a link need: the link, the process around it, and what follows from both.

Values, worked out when first asked for. Connections to the two ends are `ready`'s, a batch's doings `batch`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from replicator.apply.resolver import Resolver, resolver
from replicator.capture import Kind
from replicator.conflict import Rule, rule
from replicator.hooks import Hooks
from replicator.model import Database, Link, SyncType, TableName, Topology
from replicator.postgres import Connector
from replicator.signals import Stop

Report = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A link, and what its runs need from the process around them. report: takes a short phrase on what is going on."""

    link: Link
    topology: Topology
    connector: Connector
    stop: Stop
    report: Report

    @property
    def swap(self) -> bool:
        """Whether both ends are masters."""
        return self.link.mutual

    @property
    def apart(self) -> bool:
        """Whether the target's position may be locked while the source is being looked at.

        Where both are on one server the lock would be something that happens on the source. Between masters it comes
        after the snapshot: a lead may be setting where the others go on.
        """
        source, target = self.link.source, self.link.target
        return not self.swap and (source.host, source.port) != (target.host, target.port)

    @cached_property
    def thirds(self) -> tuple[Database, ...]:
        """The other masters of a swap, besides the link's two."""
        if not self.swap:
            return ()
        return tuple(
            member
            for member in self.topology.masters(self.link.sync)
            if member not in (self.link.source, self.link.target)
        )

    @property
    def third(self) -> bool:
        """Whether both ends are masters that have their tables from a third one, the lead."""
        return self.swap and self.link.lead not in (self.link.source.name, self.link.target.name)

    @cached_property
    def names(self) -> Mapping[int, str]:
        """The databases' names, by number."""
        return {database.id: database.name for database in self.topology.databases.values()}

    @cached_property
    def rules(self) -> Mapping[TableName, Rule]:
        """Who wins a conflict, by table."""
        sync = self.link.sync
        return {table: rule(self.topology, sync, sync.strategy_of(table)) for table in self.link.tables}

    @cached_property
    def resolvers(self) -> Mapping[TableName, Resolver]:
        """Who asks the functions that decide conflicts, by table; one for each function."""
        strategies = {table: self.link.sync.strategy_of(table) for table in self.link.tables}
        seconds = self.connector.config.function_timeout
        made = {strategy: resolver(strategy, seconds) for strategy in set(strategies.values())}
        return {table: found for table, strategy in strategies.items() if (found := made[strategy])}

    @cached_property
    def hooks(self) -> Hooks:
        """What runs at the moments of its runs."""
        return Hooks(self.link, self.stop)

    @property
    def kind(self) -> Kind:
        """The log that the link reads."""
        return Kind.TOUCH if self.link.sync.type is SyncType.FULLCOPY else Kind.ROWS

    def moved(self, _size: int) -> None:
        """Called as bytes pass: the place where a long copy notices a stop."""
        self.stop.raise_if_set()

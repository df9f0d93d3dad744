"""What the replicator is to be given, planned like any other resource: files, catalog, topology, daemon.

Each look stops where the next thing cannot be known yet; the changes so far are made, and it looks again. Where a host
runs the replicator, its files are that host's task `replicator`; only its daemon is started from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from provision.change import Change, Note
from provision.inventory import runner
from provision.tasks.node import Site
from provision.tasks.replication.daemons import start_there, stop_here, told_as_ours
from provision.tasks.replication.declared import topology
from provision.tasks.replication.reach import Reach
from provision.tasks.replication.settings import Settings
from replicator import daemon
from replicator import topology as topologies
from replicator.catalog import Catalog
from replicator.errors import ConfigError
from replicator.model import Database, TableName, Topology
from replicator.pidfile import PidFile
from replicator.postgres import Connector
from replicator.relations import user_sequences, user_tables
from replicator.topology import TopologyChange


class Handover:
    """The replicator's part of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = Settings(site)
        self._reach = Reach(site)
        self._runner = runner(site.inventory)

    def close(self) -> None:
        """Let go of what it has opened."""
        self._reach.close()

    def plan(self) -> tuple[list[Change], str]:
        """The changes to make now, and what has to wait for them ("" when nothing has). Raises ProvisionError."""
        changes = self._here()
        if not self._ready:
            return changes, "the catalog is read once the replicator's settings are written"
        with told_as_ours():
            more, waiting = self._catalog()
            return [*changes, *more], waiting

    def bare(self) -> list[Change]:
        """The changes that a site without anything would take."""
        desired = topology(self._site.inventory, self._settings.declared, lambda *_: [])
        everything = topologies.changes(Topology(), desired)
        summaries = ["create the replicator's catalog", _summary(everything), self._starting]
        shown = [None, _shown(everything), None]
        later = [Change(summary=text, after=after) for text, after in zip(summaries, shown, strict=True)]
        return [*self._here(), *later]

    @property
    def _ready(self) -> bool:
        """Whether this machine has what it needs to connect."""
        return not self._settings.root_changes() if self._runner else self._settings.current

    @property
    def _starting(self) -> str:
        return f"start the replicator's daemon{f' on {self._runner.name}' if self._runner else ''}"

    def _here(self) -> list[Change]:
        """What changes on this machine: settings, where the daemon runs here; else a daemon that ran here goes."""
        if self._runner is None:
            return self._settings.changes()
        found = self._settings.root_changes()
        if not self._settings.file.exists():
            return found
        return [*found, Change(summary="stop the replicator's daemon on this machine", act=lambda _: self._leave())]

    def _leave(self) -> None:
        stop_here(self._site)
        self._settings.withdraw()
        self._settings.passfile.unlink(missing_ok=True)
        self._settings.file.unlink()

    def _catalog(self) -> tuple[list[Change], str]:
        connector = self._reach.connector()
        try:
            catalog = Catalog.open(connector, "provision")
        except ConfigError:
            make = Change(summary="create the replicator's catalog", act=lambda _: self._init())
            return [make], "the topology is compared once there is a catalog"
        with catalog:
            desired = self._desired(connector)
            differences = topologies.plan(catalog, desired)
            runs = catalog.locked("master")
        changes = [self._declare(differences)] if differences else []
        return [*changes, *self._daemon(runs)], ""

    def _init(self) -> None:
        with told_as_ours():
            Catalog.init(self._reach.connector())

    def _desired(self, connector: Connector) -> Topology:
        return topology(self._site.inventory, self._settings.declared, partial(_relations, connector))

    def _declare(self, differences: Sequence[TopologyChange]) -> Change:
        gone = [line for difference in differences for line in _lines(difference, difference.before_lines)]
        return Change(
            summary=_summary(differences),
            act=self._apply,
            before="\n".join(gone) if gone else None,
            after=_shown(differences),
        )

    def _apply(self, note: Note) -> None:
        connector = self._reach.connector()
        with told_as_ours(), Catalog.open(connector, "provision") as catalog:
            differences = topologies.plan(catalog, self._desired(connector))
            topologies.apply(catalog, connector, differences, note)

    def _daemon(self, runs: bool) -> list[Change]:
        """What the daemon needs. runs: whether one holds its lock in the catalog."""
        if self._runner:
            return [] if runs else [Change(summary=self._starting, act=self._start_there)]
        config = self._settings.config()
        if config is None:
            return []
        if not daemon.running(config):
            return [Change(summary=self._starting, act=lambda _: self._start())]
        if self._settings.newer_than(PidFile.of(config).path):
            return [Change(summary="restart the replicator's daemon for its new settings", act=lambda _: self._start())]
        return []

    def _start_there(self, note: Note) -> None:
        assert self._runner
        start_there(self._site, self._runner, self._starting, note)

    def _start(self) -> None:
        config = self._settings.config()
        assert config is not None
        with told_as_ours():
            daemon.restart(config)


def _relations(connector: Connector, database: Database, kind: str) -> list[TableName]:
    with connector.open(database, "provision", autocommit=True) as connection:
        return user_tables(connection) if kind == "tables" else user_sequences(connection)


def _summary(differences: Sequence[TopologyChange]) -> str:
    """For example: "declare 3 databases, 1 sync; remove herd gamma"."""
    words: dict[str, dict[str, list[str]]] = {}
    for difference in differences:
        verb = {"create": "declare", "update": "change", "delete": "remove"}[difference.kind]
        words.setdefault(verb, {}).setdefault(difference.noun, []).append(difference.name)
    return "; ".join(f"{verb} {_nouns(nouns)}" for verb, nouns in words.items())


def _nouns(nouns: dict[str, list[str]]) -> str:
    return ", ".join(
        f"{noun} {names[0]}" if len(names) == 1 else f"{len(names)} {noun}s" for noun, names in nouns.items()
    )


def _shown(differences: Sequence[TopologyChange]) -> str | None:
    come = [line for difference in differences for line in _lines(difference, difference.after_lines)]
    return "\n".join(come) if come else None


def _lines(difference: TopologyChange, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield difference.object
        yield from (f"  {line}" for line in lines)

"""What the replicator is to be given, planned like any other resource: files, catalog, topology, daemon.

Each look stops where the next thing cannot be known yet; the changes so far are made, and it looks again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from provision.change import Change, Note
from provision.errors import HostFailed
from provision.tasks.node import Site
from provision.tasks.replication.declared import topology
from provision.tasks.replication.settings import Settings
from replicator import daemon
from replicator import topology as topologies
from replicator.catalog import Catalog
from replicator.errors import ConfigError, ReplicatorError
from replicator.model import Database, TableName, Topology
from replicator.pidfile import PidFile
from replicator.postgres import Connector
from replicator.relations import user_tables
from replicator.topology import TopologyChange


class Handover:
    """The replicator's part of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = Settings(site)

    def plan(self) -> tuple[list[Change], str]:
        """The changes to make now, and what has to wait for them ("" when nothing has). Raises ProvisionError."""
        changes = self._settings.changes()
        if not self._settings.current:
            return changes, "the catalog is read once the replicator's settings are written"
        with told_as_ours():
            more, waiting = self._catalog()
            return [*changes, *more], waiting

    def bare(self) -> list[Change]:
        """The changes that a site without anything would take."""
        desired = topology(self._site.inventory, self._settings.declared, lambda _: [], self._settings.rootcert)
        everything = topologies.changes(Topology(), desired)
        summaries = ["create the replicator's catalog", _summary(everything), "start the replicator's daemon"]
        shown = [None, _shown(everything), None]
        later = [Change(summary=text, after=after) for text, after in zip(summaries, shown, strict=True)]
        return [*self._settings.changes(), *later]

    def _catalog(self) -> tuple[list[Change], str]:
        connector = self._settings.connector()
        try:
            catalog = Catalog.open(connector, "provision")
        except ConfigError:
            make = Change(summary="create the replicator's catalog", act=lambda _: self._init())
            return [make], "the topology is compared once there is a catalog"
        with catalog:
            desired = self._desired(connector)
            differences = topologies.plan(catalog, desired)
        changes = [self._declare(differences)] if differences else []
        return [*changes, *self._daemon()], ""

    def _init(self) -> None:
        with told_as_ours():
            Catalog.init(self._settings.connector())

    def _desired(self, connector: Connector) -> Topology:
        return topology(
            self._site.inventory,
            self._settings.declared,
            lambda database: _tables(connector, database),
            self._settings.rootcert,
        )

    def _declare(self, differences: Sequence[TopologyChange]) -> Change:
        gone = [line for difference in differences for line in _lines(difference, difference.before_lines)]
        return Change(
            summary=_summary(differences),
            act=self._apply,
            before="\n".join(gone) if gone else None,
            after=_shown(differences),
        )

    def _apply(self, note: Note) -> None:
        connector = self._settings.connector()
        with told_as_ours(), Catalog.open(connector, "provision") as catalog:
            differences = topologies.plan(catalog, self._desired(connector))
            topologies.apply(catalog, connector, differences, note)

    def _daemon(self) -> list[Change]:
        config = self._settings.config()
        if config is None:
            return []
        if not daemon.running(config):
            return [Change(summary="start the replicator's daemon", act=lambda _: self._start())]
        if self._settings.newer_than(PidFile.of(config).path):
            return [Change(summary="restart the replicator's daemon for its new settings", act=lambda _: self._start())]
        return []

    def _start(self) -> None:
        config = self._settings.config()
        assert config is not None
        with told_as_ours():
            daemon.restart(config)


def daemon_pid(site: Site) -> int | None:
    """The process id of the site's daemon, if it runs."""
    config = Settings(site).config()
    with told_as_ours():
        return daemon.running(config) if config else None


def stop_daemon(site: Site) -> bool:
    """Stop the site's daemon; whether it ran. Raises ProvisionError."""
    config = Settings(site).config()
    with told_as_ours():
        return config is not None and daemon.stop(config) is not None


def _tables(connector: Connector, database: Database) -> list[TableName]:
    with connector.open(database, "provision", autocommit=True) as connection:
        return user_tables(connection)


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


@contextmanager
def told_as_ours() -> Iterator[None]:
    """Let the replicator's errors out of the block as provisioning's, with their sentence and exit code."""
    try:
        yield
    except ReplicatorError as error:
        ours = HostFailed(str(error.args[0]), hint=error.hint)
        ours.exit_code = error.exit_code
        raise ours from error

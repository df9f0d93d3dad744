"""pgherd itself: catalog, daemon and controllers as an operator runs them, with either way of capture."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.grounds import Grounds
from replicator.catalog import Catalog
from replicator.model import Capture, OneTimeCopy, SyncType
from tests.fixtures.cli import Program
from tests.fixtures.daemon import World
from tests.fixtures.nodes import Node
from tests.fixtures.wait import until


class PgHerd:
    """pgherd."""

    name = "pgherd"
    settings: Mapping[str, str] = {}

    def missing(self) -> str:
        """Nothing: it is what this environment is for."""
        return ""

    def start(self, grounds: Grounds, nodes: Sequence[Node], tables: Sequence[str], **options: Any) -> Herding:
        """Declare one sync, start the daemon, and wait until its links are idle. options: of the sync."""
        return Herding(grounds, nodes, [tables], **options)


class PgHerdWal(PgHerd):
    """pgherd where the source's changes are taken from its WAL."""

    name = "pgherd-wal"

    def start(self, grounds: Grounds, nodes: Sequence[Node], tables: Sequence[str], **options: Any) -> Herding:
        """As PgHerd's."""
        return Herding(grounds, nodes, [tables], capture=Capture.WAL, **options)


class Herding:
    """A daemon with a sync (or several, of which each has a list of tables) between databases.

    capture: of the source. options: of the syncs.
    """

    def __init__(
        self,
        grounds: Grounds,
        nodes: Sequence[Node],
        herds: Sequence[Sequence[str]],
        *,
        capture: Capture = Capture.TRIGGERS,
        **options: Any,
    ) -> None:
        self._server = nodes[0].server
        self._folder = tempfile.TemporaryDirectory(prefix="daemon-", dir=grounds.folder)
        self._program = Program(Path(self._folder.name))
        self._catalog_name = f"catalog_{nodes[0].database.dbname}"
        self._server.create_database(self._catalog_name)
        catalog = Node(self._server, self._server.database(self._catalog_name))
        self.world = World(self._program, Path(self._folder.name), catalog)
        self.world.databases(replace(nodes[0].database, capture=capture), *(node.database for node in nodes[1:]))
        self.syncs = [f"s{number}" for number in range(1, len(herds) + 1)]
        given = {"type": SyncType.PUSHDELTA, "onetimecopy": OneTimeCopy.OFF, **options}
        for name, tables in zip(self.syncs, herds, strict=True):
            self.world.sync(name, *(node.name for node in nodes), tables=tables, **given)
        self._given = given
        self.world("start").ok()
        self._await_idle()

    def _await_idle(self) -> None:
        def idle() -> bool:
            links = [link for sync in self.world.status()["syncs"] for link in sync["links"]]
            states = [link["state"] for link in links]
            assert states and set(states) == {"idle"}, links
            return True

        until(idle, 300, "all links are idle", every=0.1)

    def controllers(self) -> list[int]:
        """The process ids of the controllers."""
        return list(self.world.controllers().values())

    def master(self) -> int:
        """The process id of the master."""
        found = self.world.master()
        assert found
        return found

    def pause(self) -> None:
        """Pause every sync, and see that its controller is gone."""
        for sync in self.syncs:
            self._set_paused(sync, True)
        until(lambda: not self.world.controllers(), 20, "the controllers have ended")

    def resume(self) -> None:
        """Resume every sync: its controller is started anew."""
        for sync in self.syncs:
            self._set_paused(sync, False)

    def _set_paused(self, sync: str, paused: bool) -> None:
        with Catalog.open(self.world.connector) as catalog:
            catalog.set_paused(sync, paused)

    def close(self) -> None:
        """Stop the daemon; what it made in the databases goes with them."""
        self.world("stop")
        self._program.close()
        self._server.drop_database(self._catalog_name)
        self._folder.cleanup()

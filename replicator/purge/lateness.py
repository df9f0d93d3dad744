"""Warns in the daemon's log of targets for which change logs keep much, and says when that is over."""

from __future__ import annotations

from replicator.catalog import Catalog
from replicator.logs import log
from replicator.postgres import Connector
from replicator.status import burden

EVERY = 60.0
"""Seconds between looks."""

REMIND = 6 * 3600.0
"""Seconds after which what was told is told again."""

Target = tuple[str, str]


class Lateness:
    """Looks at what is kept for whom, as a task of one thread."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._looked_at: float | None = None
        self._told: dict[Target, float] = {}

    def look(self, now: float) -> None:
        """Look, if it is time to. now: seconds, monotonic. Raises as `Catalog.open` does."""
        if self._looked_at is not None and now < self._looked_at + EVERY:
            return
        self._looked_at = now
        with Catalog.open(self._connector, "purge") as catalog:
            links = list(catalog.topology().all_links(self._connector.config.install))
        late = burden.late(burden.measure(self._connector, links), self._connector.config)
        for one in late:
            if now >= self._told.get((one.sync, one.target), -REMIND) + REMIND:
                log.warning("%s: %s", one.sync, one)
                self._told[one.sync, one.target] = now
        for gone in self._told.keys() - {(one.sync, one.target) for one in late}:
            log.info("%s: %s is no longer far behind", *gone)
            del self._told[gone]

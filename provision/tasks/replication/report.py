"""What `provision status` says of the replicator."""

from __future__ import annotations

from dataclasses import dataclass

from provision.tasks.node import Site
from provision.tasks.replication.handover import told_as_ours
from provision.tasks.replication.settings import Settings
from replicator import daemon
from replicator.catalog import Catalog
from replicator.errors import ReplicatorError
from replicator.status import SyncStatus, overview


@dataclass(frozen=True)
class SyncLine:
    """A sync in short. behind: changes not yet on all targets; None: not known."""

    name: str
    type: str
    source: str
    targets: tuple[str, ...]
    state: str
    behind: int | None
    detail: str


@dataclass(frozen=True)
class Summary:
    """The replicator in short. pid: of the daemon, None when it does not run. trouble: why syncs are not known."""

    config: str
    pointed: bool
    pid: int | None
    syncs: tuple[SyncLine, ...] = ()
    trouble: str = ""


def summary(site: Site) -> Summary:
    """How the replicator stands. Nothing is raised because something is down: that is an answer."""
    settings = Settings(site)
    with told_as_ours():
        config = settings.config()
    if config is None:
        return Summary(str(settings.file), False, None, trouble="it has not been set up; `provision deploy` does that")
    pid = None
    try:
        pid = daemon.running(config)
        connector = settings.connector()
        with Catalog.open(connector, "status") as catalog:
            lines = tuple(_line(sync) for sync in overview(catalog, connector).syncs)
    except ReplicatorError as error:
        return Summary(str(settings.file), settings.pointed, pid, trouble=str(error))
    return Summary(str(settings.file), settings.pointed, pid, lines)


def _line(sync: SyncStatus) -> SyncLine:
    lags = [link.lag.rows for link in sync.links]
    known = [lag for lag in lags if lag is not None]
    targets = [link.link.target.name for link in sync.links if link.link.target.name != sync.source]
    worst = next((link for link in sync.links if link.state == sync.state), None)
    return SyncLine(
        name=sync.sync.name,
        type=str(sync.sync.type),
        source=sync.source,
        targets=tuple(dict.fromkeys(targets)),
        state=sync.state,
        behind=max(known) if len(known) == len(lags) and known else None,
        detail=(worst.detail or worst.lag.problem) if worst else "",
    )

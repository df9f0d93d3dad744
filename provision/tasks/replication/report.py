"""What `provision status` says of the replicator."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

from provision.errors import ProvisionError
from provision.inventory import Host, runner
from provision.tasks.node import Site
from provision.tasks.replication.daemons import told_as_ours
from provision.tasks.replication.reach import Reach
from provision.tasks.replication.settings import Settings
from provision.tasks.service import CONFIG, UNIT
from provision.transport import connect
from replicator import daemon
from replicator.catalog import Catalog
from replicator.errors import ConfigError, ReplicatorError
from replicator.status import SyncStatus, overview

SECONDS = 30.0
NOT_SET_UP = "it has not been set up; `provision deploy` does that"


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
    """The replicator in short.

    pointed: whether `replicator` finds the configuration by itself. pid: of the daemon, None when it does not run.
    late: sentences on nodes for which much is kept. trouble: why syncs are not known. host: where it is a service,
    empty for this machine; unit: what systemd says of it.
    """

    config: str
    pointed: bool
    pid: int | None
    syncs: tuple[SyncLine, ...] = ()
    late: tuple[str, ...] = ()
    trouble: str = ""
    host: str = ""
    unit: str = ""


def summary(site: Site) -> Summary:
    """How the replicator stands. Nothing is raised because something is down: that is an answer."""
    host = runner(site.inventory)
    found = _there(site, host) if host else _here(site)
    if found.trouble:
        return found
    try:
        with Reach(site) as reach:
            connector = reach.connector()
            with Catalog.open(connector, "status") as catalog:
                seen = overview(catalog, connector)
            late = tuple(f"{burden.sync}: {burden}" for burden in seen.late)
            return replace(found, syncs=tuple(_line(sync) for sync in seen.syncs), late=late)
    except ConfigError:
        return replace(found, trouble=NOT_SET_UP)
    except ReplicatorError as error:
        return replace(found, trouble=str(error))


def _here(site: Site) -> Summary:
    settings = Settings(site)
    with told_as_ours():
        config = settings.config()
    found = Summary(str(settings.file), settings.pointed, None)
    if config is None:
        return replace(found, pointed=False, trouble=NOT_SET_UP)
    try:
        return replace(found, pid=daemon.running(config))
    except ReplicatorError as error:
        return replace(found, trouble=str(error))


def _there(site: Site, host: Host) -> Summary:
    found = Summary(CONFIG, True, None, host=host.name)
    try:
        with closing(connect(host, site.keeper)) as transport:
            said = transport.run(f"systemctl show -p MainPID -p ActiveState -p SubState {UNIT}\n", timeout=SECONDS).out
    except ProvisionError as error:
        return replace(found, trouble=f"{host.name}: {error}")
    state = dict(line.partition("=")[::2] for line in said.splitlines())
    if "ActiveState" not in state:  # there is no systemd to ask
        return found
    pid = int(state["MainPID"]) if state["ActiveState"] == "active" else 0
    return replace(found, pid=pid or None, unit=f"{state['ActiveState']} ({state['SubState']})")


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

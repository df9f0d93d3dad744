"""How the syncs stand: what their controllers say, checked against who is alive, and the lag, measured at this moment.

Reads the catalog, and the nodes through `lag`; writes nowhere. A node that does not answer is a fact to report, not an
error. Words and tables for people are made in `cli/status_page.py`.

`Overview.json` is the stable, machine-readable form; times are ISO 8601 with zone, seconds are numbers:

    install, at, daemon {running, pid},
    syncs [{name, type, herd, source, targets, paused, state,
            links [{source, target, state, detail, since,
                    lag {rows, more, seconds, problem},    rows: changes not yet there; more: at least that many;
                                                           null: not known, problem says why
                    waits_for,                             the lead that this slave of a swap waits for (since `since`),
                                                           for it does not answer, or null
                    last_good, last_bad, last_error,
                    last_run {started, finished, inserted, updated, deleted, conflicts, parked} or null,
                    total {inserted, updated, deleted, conflicts, parked},
                    rate,                                  rows a second while it moved, within the last minute
                    parked,                                keys set aside on the target now; null: not known
                    tables [{table, parked, why}]}]}],     tables that are parked, or travel without some columns
    late [{sync, target, seconds, why,                     targets for which much is kept; see `burden`
           kept [{source, rows, bytes, exact}]}]

A state is one of STATES.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

from replicator.catalog import Catalog, LinkState, LinkTotal, RunRecord, State
from replicator.change import Counts
from replicator.model import Install, Link, Sync, Topology
from replicator.pidfile import PidFile
from replicator.postgres import Connector
from replicator.status.burden import Burden, late
from replicator.status.burden import measure as measure_burdens
from replicator.status.lag import Key, Lag, key, measure

PATIENCE = timedelta(seconds=5)
"""A controller that has not spoken to the catalog for longer than this hangs."""

RECENT = timedelta(minutes=1)
RUNS_A_LINK = 100

NOT_RESPONDING, INACTIVE = "not responding", "inactive"
STATES = (
    *(NOT_RESPONDING, State.STOPPED, State.WAITING, State.RETRYING, State.STARTING, State.COPYING),
    *(State.RUNNING, State.IDLE, State.PAUSED, INACTIVE),
)
"""Every state, the most worrying first; a sync's state is that of its most worrying link."""


@dataclass(frozen=True, kw_only=True)
class LinkStatus:
    """One link. since: when it came into its state, as far as that is known.

    heir: another master, which answers, where a slave of a swap waits for its lead.
    """

    link: Link
    state: str
    detail: str = ""
    since: datetime | None = None
    lag: Lag = field(default_factory=Lag)
    total: LinkTotal | None = None
    last_run: RunRecord | None = None
    rate: float = 0.0
    heir: str = ""

    @property
    def waits(self) -> bool:
        """Whether a slave of a swap gets nothing because its lead does not answer."""
        return self.link.led and self.lag.away

    @property
    def json(self) -> dict[str, object]:
        """The link's part of the machine-readable form."""
        total = self.total
        return {
            "source": self.link.source.name,
            "target": self.link.target.name,
            "state": self.state,
            "detail": self.detail,
            "since": _time(self.since),
            "lag": {name: getattr(self.lag, name) for name in ("rows", "more", "seconds", "problem")},
            "waits_for": self.link.source.name if self.waits else None,
            "last_good": _time(total.last_good_at if total else None),
            "last_bad": _time(total.last_bad_at if total else None),
            "last_error": total.last_error if total else None,
            "last_run": _run(self.last_run) if self.last_run else None,
            "total": _counts(total.counts if total else Counts()),
            "rate": round(self.rate, 1),
            "parked": self.lag.parked,
            "tables": [{"table": str(one.table), "parked": one.parked, "why": one.why} for one in self.lag.unequal],
        }


@dataclass(frozen=True, kw_only=True)
class SyncStatus:
    """One sync with its links."""

    sync: Sync
    source: str
    links: tuple[LinkStatus, ...]

    @property
    def state(self) -> str:
        """The state of the most worrying link."""
        return min((link.state for link in self.links), key=STATES.index, default=INACTIVE)

    @property
    def json(self) -> dict[str, object]:
        """The sync's part of the machine-readable form."""
        return {
            "name": self.sync.name,
            "type": str(self.sync.type),
            "herd": self.sync.herd,
            "source": self.source,
            "targets": list(dict.fromkeys(link.link.target.name for link in self.links)),
            "paused": self.sync.paused,
            "state": self.state,
            "links": [link.json for link in self.links],
        }


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Everything. pid: of the daemon, if it runs on this machine."""

    install: Install
    at: datetime
    running: bool
    pid: int | None
    syncs: tuple[SyncStatus, ...]
    late: tuple[Burden, ...] = ()

    @property
    def json(self) -> dict[str, object]:
        """The machine-readable form."""
        return {
            "install": self.install.name,
            "at": _time(self.at),
            "daemon": {"running": self.running, "pid": self.pid},
            "syncs": [sync.json for sync in self.syncs],
            "late": [asdict(burden) for burden in self.late],
        }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None


def _counts(counts: Counts) -> dict[str, object]:
    # What made a sync pause is not kept: the ledger has it.
    return {column.name: getattr(counts, column.name) for column in fields(counts) if column.name != "aborted"}


def _run(run: RunRecord) -> dict[str, object]:
    return {"started": _time(run.started_at), "finished": _time(run.finished_at), **_counts(run.counts)}


# -- gathering


def overview(catalog: Catalog, connector: Connector, only: Collection[str] = ()) -> Overview:
    """How all syncs stand, or those named. Raises Unreachable when the catalog does not answer."""
    install = connector.config.install
    topology = catalog.topology()
    syncs = [sync for sync in topology.syncs.values() if not only or sync.name in only]
    links = {sync.name: topology.links(install, sync) for sync in syncs}
    lags = measure(connector, [link for some in links.values() for link in some if link.active])
    # Who lives is looked at last: measuring may have waited for a silent node.
    pid = PidFile.of(connector.config).holder()
    connected = catalog.locked("master")
    gathered = _Gathered(catalog, lags, daemon=pid is not None or connected, connected=connected)
    return Overview(
        install=install,
        at=datetime.now(UTC),
        running=pid is not None or connected,
        pid=pid,
        syncs=tuple(gathered.sync(topology, sync, links[sync.name]) for sync in syncs),
        late=tuple(_late(connector, [link for some in links.values() for link in some], lags)),
    )


def _late(connector: Connector, links: list[Link], lags: Mapping[Key, Lag]) -> list[Burden]:
    """The targets to warn of. Only those are looked at that may be: most of the time none."""
    limit = connector.config.warn_behind.total_seconds()
    suspects = {
        (link.sync.name, link.target.name)
        for link in links
        if (lag := lags.get(key(link), Lag())).seconds is None or lag.seconds > limit or lag.more
    }
    return late(
        measure_burdens(connector, [x for x in links if (x.sync.name, x.target.name) in suspects]), connector.config
    )


@dataclass(frozen=True)
class Alive:
    """Who lives. connected: the daemon holds its lock in the catalog. controller: the sync's controller holds its.

    silence: for how long the controller has not spoken to the catalog.
    """

    daemon: bool
    connected: bool
    controller: bool
    silence: timedelta = timedelta()


class _Gathered:
    """What the statuses of links are put together from."""

    def __init__(self, catalog: Catalog, lags: Mapping[Key, Lag], *, daemon: bool, connected: bool) -> None:
        self._catalog = catalog
        self._lags = lags
        self._daemon = daemon
        self._connected = connected
        self._states = {(state.sync, state.source, state.target): state for state in catalog.states()}
        self._totals = {(total.sync, total.source, total.target): total for total in catalog.totals()}

    def sync(self, topology: Topology, sync: Sync, links: tuple[Link, ...]) -> SyncStatus:
        """The status of one sync."""
        silence = self._catalog.silence("sync", sync.name)
        alive = Alive(self._daemon, self._connected, silence is not None, silence or timedelta())
        runs = self._catalog.runs(sync.name, RUNS_A_LINK * len(links))
        found = tuple(self._link(link, alive, runs) for link in links)
        heirs = [
            one.link.target.name
            for one in found
            if one.link.mutual and one.link.source.name == one.link.lead and one.lag.away
        ]
        if heirs:
            found = tuple(replace(one, heir=heirs[0]) if one.waits else one for one in found)
        return SyncStatus(sync=sync, source=topology.herds[sync.herd].database, links=found)

    def _link(self, link: Link, alive: Alive, runs: list[RunRecord]) -> LinkStatus:
        mine = [run for run in runs if (run.source, run.target) == key(link)[1:] and run.error is None]
        return replace(
            derive(link, self._states.get(key(link)), alive),
            lag=self._lags.get(key(link), Lag()),
            total=self._totals.get(key(link)),
            last_run=mine[0] if mine else None,
            rate=rate(mine, datetime.now(UTC)),
        )


def derive(link: Link, heard: LinkState | None, alive: Alive) -> LinkStatus:
    """The state of a link, from what is declared, who lives, and what its controller last said. Pure."""
    if why := _without_controller(link, alive):
        return LinkStatus(link=link, state=why[0], detail=why[1])
    if heard is None or heard.state in (State.STOPPED, State.PAUSED):
        return LinkStatus(link=link, state=State.STARTING)
    if alive.silence > PATIENCE:
        detail = f"no word from its controller (pid {heard.pid}) for {alive.silence.total_seconds():.0f} s"
        return LinkStatus(link=link, state=NOT_RESPONDING, detail=detail)
    return LinkStatus(link=link, state=heard.state, detail=heard.detail, since=heard.since)


def _without_controller(link: Link, alive: Alive) -> tuple[str, str] | None:
    """State and detail of a link that nobody runs."""
    reasons = (
        (not link.source.active, INACTIVE, f"database {link.source.name} is declared inactive"),
        (not link.target.active, INACTIVE, f"database {link.target.name} is declared inactive"),
        (link.sync.paused, State.PAUSED, "its controller is stopping" if alive.controller else ""),
        (not alive.daemon, State.STOPPED, "the daemon is not running"),
        (not alive.connected, State.STARTING, "the daemon is connecting to the catalog"),
        (not alive.controller, State.STARTING, "its controller does not run; the daemon starts it"),
    )
    return next(((state, detail) for applies, state, detail in reasons if applies), None)


def rate(runs: Iterable[RunRecord], now: datetime) -> float:
    """Rows a second, over the time in which these runs of a link moved rows within the last minute. Pure."""
    recent = [run for run in runs if run.counts.rows and run.finished_at > now - RECENT]
    if not recent:
        return 0.0
    begun, ended = min(run.started_at for run in recent), max(run.finished_at for run in recent)
    return sum(run.counts.rows for run in recent) / max(1.0, (ended - begun).total_seconds())

"""How far a database is that was added to a sync: what its links say, and whether it has what the others have.

It is in step once all its tables are there and every change has arrived that was made before they were. So it comes
into step under any load that its links can carry. Pure but for `look`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from replicator.catalog import Catalog, LinkState, State
from replicator.model import Database, Install, Link, Sync, Topology
from replicator.postgres import Connector
from replicator.status.lag import Key, Lag, key, measure


@dataclass(frozen=True)
class Arrival:
    """How far it is. text: what is going on. filled: all its tables are there. behind: changes on their way.

    stuck: why it does not go on until a person mends something. absent: links to others that do not answer.
    """

    text: str
    filled: bool = False
    in_step: bool = False
    behind: int = 0
    stuck: str = ""
    absent: tuple[str, ...] = ()


def links_of(topology: Topology, install: Install, syncs: Collection[Sync], database: Database) -> list[Link]:
    """The links that lead to a database or away from it, the one that fills it first for each sync."""
    return [
        link
        for sync in syncs
        for link in sorted(topology.links(install, sync), key=lambda link: link.source.name != link.lead)
        if database in (link.source, link.target) and link.active
    ]


def look(
    catalog: Catalog, connector: Connector, links: Sequence[Link], revision: int, since_filled: float | None
) -> Arrival:
    """Look once. revision: of the topology by which the links are to run. since_filled: seconds; None: it was not."""
    states = {(s.sync, s.source, s.target): s for s in catalog.states() if s.revision >= revision}
    return judge(links, states, measure(connector, links), since_filled)


def judge(
    links: Sequence[Link], states: Mapping[Key, LinkState], lags: Mapping[Key, Lag], since_filled: float | None
) -> Arrival:
    """The arrival that the links' states and lags amount to."""
    late: list[str] = []
    absent: list[str] = []
    behind, filled = 0, True
    for link in links:
        state, lag = states.get(key(link)), lags[key(link)]
        if state is None:
            late.append(f"{link}: starting")
        elif state.state is State.WAITING:
            return Arrival(state.detail, stuck=f"{link}: {state.detail}")
        elif state.state is State.RETRYING and link.lead not in (link.source.name, link.target.name):
            absent.append(f"{link}: {state.detail}")
            continue
        elif state.state not in (State.IDLE, State.RUNNING) or lag.tables < len(link.tables):
            late.append(f"{link}: {state.detail or state.state}")
        elif lag.rows and not (since_filled and (lag.seconds or 0.0) < since_filled):
            behind += lag.rows
            continue
        else:
            continue
        filled = False
    text = late[0] if late else f"filled; {behind} changes are on their way"
    return Arrival(text, filled, filled and not behind, behind, absent=tuple(absent))

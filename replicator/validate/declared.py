"""What is wrong with a topology in itself, found without asking a server. Pure.

`model.Topology.contradictions` finds names that lead nowhere; here is what resolves and still cannot work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from psycopg import ProgrammingError, conninfo

from replicator import conflict
from replicator.errors import InvalidTopology
from replicator.model import Capture, Numbers, Role, Strategy, Sync, SyncType, TableName, Topology
from replicator.sequences.shares import share

OWN = ("dbname", "host", "port", "user")
SECRETS = ("password", "sslpassword")


@dataclass(frozen=True)
class Flow:
    """One sync moves a table from one database to another."""

    source: str
    target: str
    sync: Sync


def contradictions(topology: Topology) -> list[str]:
    """What cannot be resolved or cannot work, a sentence each; empty when there is nothing."""
    if found := topology.contradictions():
        return [*found, *_bad_databases(topology)]
    checks = (
        _bad_databases,
        _bad_groups,
        _bad_herds,
        _bad_syncs,
        _bad_conflicts,
        _bad_hooks,
        _bad_captures,
        _circles,
        _rivals,
    )
    return [problem for check in checks for problem in check(topology)]


def _bad_databases(topology: Topology) -> Iterator[str]:
    for database in topology.databases.values():
        if not 0 < database.port < 65536:
            yield f"database {database.name}: port {database.port} is not between 1 and 65535"
        for key in database.options:
            if key in SECRETS:
                yield f"database {database.name}: option {key} is a secret; use --password-stdin or the password file"
            elif key in OWN:
                yield f"database {database.name}: option {key} has a place of its own; give it as --{key}"
            elif not _known_to_libpq(key):
                yield f"database {database.name}: libpq knows no connection option {key!r}; correct or remove it"


def _known_to_libpq(key: str) -> bool:
    try:
        conninfo.make_conninfo(**{key: "x"})
    except ProgrammingError:
        return False
    return True


def _bad_hooks(topology: Topology) -> Iterator[str]:
    for sync in topology.syncs.values():
        known = {str(table) for table in topology.herds[sync.herd].tables}
        for name in _repeated([hook.name for hook in sync.hooks]):
            yield f"sync {sync.name}: it has two hooks called {name}; give one another name"
        for hook in sync.hooks:
            for fault in hook.faults():
                yield f"sync {sync.name}: hook {hook.name}: {fault}"
            for table in hook.tables:
                if table not in known:
                    yield f"sync {sync.name}: hook {hook.name}: {table} is no table of herd {sync.herd}"


def _bad_groups(topology: Topology) -> Iterator[str]:
    for group in topology.dbgroups.values():
        for name in _repeated(group.members):
            yield f"dbgroup {group.name}: it lists {name} twice; once is enough"
        for name in group.roles:
            if name not in group.members:
                yield f"dbgroup {group.name}: it gives {name} a role and does not list it; add it, or drop the role"


def _bad_herds(topology: Topology) -> Iterator[str]:
    for herd in topology.herds.values():
        for name in _repeated((*herd.tables, *herd.sequences)):
            yield f"herd {herd.name}: it lists {name} twice; once is enough"


def _bad_syncs(topology: Topology) -> Iterator[str]:
    for sync in topology.syncs.values():
        herd = topology.herds[sync.herd]
        if not herd.tables and not herd.sequences:
            yield f"sync {sync.name}: herd {herd.name} is empty; add a table to it first"
        for name in _repeated(sync.targets):
            yield f"sync {sync.name}: it lists target {name} twice; once is enough"
        yield from _bad_roles(topology, sync)
        if sync.checktime is not None and sync.checktime.total_seconds() <= 0:
            yield f"sync {sync.name}: checktime must be longer than nothing; leave it out to run on changes and kicks"


def _bad_roles(topology: Topology, sync: Sync) -> Iterator[str]:
    """Roles of a sync's dbgroups that cannot be what they say."""
    source = topology.herds[sync.herd].database
    groups = [topology.dbgroups[target] for target in sync.targets if target in topology.dbgroups]
    for group in groups:
        if group.roles.get(source) is Role.TARGET:
            yield (
                f"sync {sync.name}: in dbgroup {group.name} {source} has the role target, and herd {sync.herd}, from"
                f" which all others are filled, lives on it; give it the role source"
            )
        for name, role in group.roles.items():
            if role is Role.SOURCE and name != source and sync.type is not SyncType.SWAP:
                yield (
                    f"sync {sync.name}: in dbgroup {group.name} {name} has the role source, and a {sync.type} has one"
                    f" source, {source}; give it the role target, or make the sync a swap"
                )
            others = [other for other in groups if name in other.members and other.roles.get(name) is not role]
            if sync.type is SyncType.SWAP and role is Role.TARGET and (others or name in sync.targets):
                where = f"dbgroup {others[0].name}" if others else "the targets themselves"
                yield (
                    f"sync {sync.name}: {name} has the role target in dbgroup {group.name} and another one in {where};"
                    " name it once"
                )
    if sync.type is SyncType.SWAP and len(topology.masters(sync)) < 2:
        yield (
            f"sync {sync.name}: {source} is its only master; give another member the role source,"
            " or make the sync a pushdelta"
        )


def _bad_conflicts(topology: Topology) -> Iterator[str]:
    """What a sync says of conflicts that cannot be."""
    for sync in topology.syncs.values():
        herd = topology.herds[sync.herd]
        if sync.type is not SyncType.SWAP:
            if sync.counters or sync.strategies:
                yield (
                    f"sync {sync.name}: it has counters or strategies of tables, and is a {sync.type};"
                    " take them away, only a swap has conflicts"
                )
            continue
        yield from _bad_shares(topology, sync)
        for strategy in dict.fromkeys((sync.strategy, *(own for _, own in sync.strategies))):
            yield from _bad_strategy(topology, sync, strategy)
        for table, _ in sync.strategies:
            if table not in herd.tables:
                yield (
                    f"sync {sync.name}: it has a strategy for {table}, which is not in herd {herd.name};"
                    " correct the name"
                )
        for counter in sync.counters:
            if not any(counter.rpartition(".")[2] in sync.counters_of(table) for table in herd.tables):
                yield (
                    f"sync {sync.name}: counter {counter} is of a table that is not in herd {herd.name};"
                    " correct the name"
                )


def _bad_captures(topology: Topology) -> Iterator[str]:
    """Databases whose changes are captured from the WAL and that syncs do more with than read."""
    for sync in topology.syncs.values():
        swap = sync.type is SyncType.SWAP
        for database in topology.masters(sync) if swap else ():
            if database.capture is Capture.WAL:
                yield (
                    f"sync {sync.name}: {database.name} is captured from its WAL, and a swap needs triggers, which"
                    " write versions and counters; capture it by triggers, or make the sync a pushdelta"
                )
        for name in topology.slaves(sync):
            if topology.databases[name].capture is Capture.WAL:
                yield (
                    f"sync {sync.name}: it writes to {name}, which is captured from its WAL, and what it writes there"
                    " would be captured too; capture it by triggers"
                )


def _bad_shares(topology: Topology, sync: Sync) -> Iterator[str]:
    """Whether the masters of a swap can have numbers of their own. A database that is new has no number yet."""
    step = sync.sequence_step
    if not 2 <= step <= 1024 or step & (step - 1):
        yield f"sync {sync.name}: sequence_step is {step}; choose a power of two from 2 to 1024"
        return
    members = topology.masters(sync)
    if sync.sequences is Numbers.NONE:
        return
    if len(members) > step:
        yield f"sync {sync.name}: it has {len(members)} masters, and sequence_step is {step}; choose a larger one"
        return
    try:
        for member in members:
            share(sync, [database for database in members if database.id], member)
    except InvalidTopology as error:
        yield str(error)


def _bad_strategy(topology: Topology, sync: Sync, text: str) -> Iterator[str]:
    try:
        kind, names = conflict.named(text)
    except ValueError as error:
        yield f"sync {sync.name}: {error}"
        return
    members = [database.name for database in topology.masters(sync)]
    for name in names if kind is Strategy.ORDER else ():
        if name not in members:
            yield f"sync {sync.name}: strategy {text!r}: {conflict.unknown(name, members)}"
    for twice in _repeated(names) if kind is Strategy.ORDER else ():
        yield f"sync {sync.name}: strategy {text!r} lists {twice} twice; once is enough"


def _repeated(things: Sequence[object]) -> list[object]:
    return [thing for number, thing in enumerate(things) if thing in things[:number]]


def _flows(topology: Topology) -> dict[TableName, list[Flow]]:
    flows: dict[TableName, list[Flow]] = {}
    for sync in topology.syncs.values():
        flow = [Flow(source.name, target.name, sync) for source, target in topology.pairs(sync)]
        for table in topology.herds[sync.herd].tables:
            flows.setdefault(table, []).extend(flow)
    return flows


def _circles(topology: Topology) -> Iterator[str]:
    """Ways on which a row comes back to the node where it was written, and there undoes what came after it."""
    seen = set()
    for table, flows in _flows(topology).items():
        for start in flows:
            for way in _ways_back(start.source, [start], flows):
                names = frozenset(flow.sync.name for flow in way)
                if names not in seen:
                    seen.add(names)
                    yield _circle(table, way)


def _ways_back(home: str, way: list[Flow], flows: list[Flow]) -> Iterator[list[Flow]]:
    last = way[-1]
    if last.target == home:
        yield way
        return
    if not last.sync.makedelta:
        return
    visited = {flow.source for flow in way}
    for flow in flows:
        # A swap does not send back what it brought itself.
        if flow.source == last.target and flow.sync is not last.sync and flow.target not in visited - {home}:
            yield from _ways_back(home, [*way, flow], flows)


def _circle(table: TableName, way: list[Flow]) -> str:
    names = list(dict.fromkeys(flow.sync.name for flow in way))
    path = " -> ".join([way[0].source, *(flow.target for flow in way)])
    forwarding = ", ".join(dict.fromkeys(flow.sync.name for flow in way if flow.sync.makedelta))
    return (
        f"syncs {', '.join(names)}: with makedelta on {forwarding}, rows of {table} go round in a circle ({path});"
        " join the masters by one swap, or take makedelta off"
    )


def _rivals(topology: Topology) -> Iterator[str]:
    """A whole copy undoes whatever another sync writes on the same table."""
    found: dict[tuple[str, str, str], TableName] = {}
    for table, flows in _flows(topology).items():
        for one, other in combinations(flows, 2):
            if one.target == other.target and one.sync is not other.sync:
                for copy, rival in ((one, other), (other, one)):
                    if copy.sync.type is SyncType.FULLCOPY:
                        found.setdefault((copy.sync.name, rival.sync.name, copy.target), table)
                        break
    for (copy_name, rival_name, target), table in found.items():
        yield (
            f"sync {copy_name}: its full copy of {table} would overwrite what sync {rival_name} writes on {target};"
            " leave the table out of one of them"
        )

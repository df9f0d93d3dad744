"""Whether a declared topology can work: in itself, and on the servers that it names, all faults at once.

`contradictions` asks nobody; `problems` connects to the members of the syncs that it is given, in parallel. What is
done with a sound topology is `topology`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from replicator.errors import InvalidTopology, Refused, ReplicatorError, Unreachable
from replicator.model import Database, SyncType, TableName, Topology
from replicator.postgres import Connector
from replicator.validate.declared import contradictions
from replicator.validate.facts import Facts, gather, identity
from replicator.validate.functions import sql_functions, unloadable
from replicator.validate.judge import judge

__all__ = ["affected", "answer", "check", "contradictions", "identity", "problems"]

Report = Callable[[str], None]

THREADS = 16


@dataclass(frozen=True)
class _Findings:
    """Sentences, and whether one of them is of a server that did not answer."""

    problems: list[str]
    unanswered: bool

    def complain(self) -> None:
        """Raise InvalidTopology if there are problems; its exit code tells whether servers were silent."""
        if self.problems:
            error = InvalidTopology(self.problems)
            error.exit_code = Unreachable.exit_code if self.unanswered else error.exit_code
            raise error


def affected(current: Topology, desired: Topology) -> set[str]:
    """The syncs of `desired` that need something of a server that they did not need in `current`."""
    return {
        name for name in desired.syncs if name not in current.syncs or _needs(desired, name) - _needs(current, name)
    }


def _needs(topology: Topology, name: str) -> set[tuple[object, ...]]:
    sync = topology.syncs[name]
    herd = topology.herds[sync.herd]
    places = {(d.name, d.dbname, d.host, d.port, d.user, *sorted(d.options.items())) for d in topology.members(sync)}
    relations = {(relation,) for relation in (*herd.tables, *herd.sequences)}
    conflicts = {("strategy", sync.strategy), *sync.strategies, *(("counter", name) for name in sync.counters)}
    roles = {("slave", name) for name in topology.slaves(sync)}
    swap = sync.type is SyncType.SWAP
    # All masters of a swap are looked at alike, so that the lead can become another while the former is away.
    numbers = {("numbers", sync.sequences, sync.sequence_step)} if swap else {("lead", herd.database)}
    captures = {("capture", database.name, database.capture) for database in topology.masters(sync)}
    others = {(sync.type,), (sync.copymethod,)}
    return captures | places | relations | conflicts | roles | numbers | others


def problems(
    topology: Topology, connector: Connector, changed: Collection[str], report: Report = lambda _: None
) -> list[str]:
    """What keeps those syncs from working on their servers, a sentence each: what is wrong and what to do.

    A server that does not answer is such a sentence too. The topology must be free of contradictions.
    """
    return _find(topology, connector, changed, report).problems


def check(topology: Topology, connector: Connector, changed: Collection[str], report: Report = lambda _: None) -> None:
    """Raise InvalidTopology with all contradictions; if there are none, with all problems of those syncs."""
    if found := contradictions(topology):
        raise InvalidTopology(found)
    _find(topology, connector, changed, report).complain()


def answer(databases: Iterable[Database], connector: Connector, report: Report = lambda _: None) -> None:
    """Raise InvalidTopology unless all those databases let us in."""
    found = _look(connector, list(databases), {}, report)
    _findings([error for error in found.values() if not isinstance(error, Facts)], []).complain()


def _find(topology: Topology, connector: Connector, changed: Collection[str], report: Report) -> _Findings:
    wanted: dict[str, list[TableName]] = {}
    syncs = [topology.syncs[name] for name in sorted(changed)]
    for sync in syncs:
        herd = topology.herds[sync.herd]
        for database in topology.members(sync):
            if database.active:
                wanted.setdefault(database.name, []).extend([*herd.tables, *herd.sequences])
    functions = {name for sync in syncs for name in sql_functions(sync)}
    answers = _look(connector, [topology.databases[name] for name in wanted], wanted, report, functions)
    found = {name: facts for name, facts in answers.items() if isinstance(facts, Facts)}
    errors = [error for error in answers.values() if not isinstance(error, Facts)]
    sentences = [sentence for sync in syncs for sentence in (*judge(topology, sync, found), *unloadable(sync))]
    return _findings(errors, sentences)


def _findings(errors: list[ReplicatorError], sentences: list[str]) -> _Findings:
    silent = any(isinstance(error, Unreachable | Refused) for error in errors)
    return _Findings(list(dict.fromkeys([*map(str, errors), *sentences])), silent)


def _look(
    connector: Connector,
    databases: list[Database],
    wanted: Mapping[str, list[TableName]],
    report: Report,
    functions: Collection[str] = (),
) -> dict[str, Facts | ReplicatorError]:
    """What each database holds of the tables wanted there, by its name; the error of one that could not be asked."""

    def look(database: Database) -> Facts | ReplicatorError:
        try:
            return gather(connector, database, list(dict.fromkeys(wanted.get(database.name, ()))), functions)
        except ReplicatorError as error:
            return error

    names = [database.name for database in databases]
    if not names:
        return {}
    report(f"looking at {', '.join(names)}")
    with ThreadPoolExecutor(min(THREADS, len(names)), thread_name_prefix="validate") as pool:
        return dict(zip(names, pool.map(look, databases), strict=True))

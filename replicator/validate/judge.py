"""Whether what was found on the servers lets a sync work, a sentence for each thing that does not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from replicator.capture import Kind, needs
from replicator.differences import differences
from replicator.model import Capture, CopyMethod, Database, Herd, Sync, SyncType, TableName, Topology
from replicator.relations import Relation
from replicator.validate.facts import Facts, Rights
from replicator.validate.functions import sql_functions
from replicator.validate.published import undecodable

NUMBERS = ("smallint", "integer", "bigint", "numeric")
"""Types in which differences add up to the same in whatever order."""

KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "c": "a type"}


def judge(topology: Topology, sync: Sync, found: Mapping[str, Facts]) -> list[str]:
    """What is wrong with a sync on its databases, as far as they were found (the others are left out)."""
    herd = topology.herds[sync.herd]
    decoded = [found[name] for name in _decoded(topology, sync) if name in found]
    undecoded = [sentence for facts in decoded for sentence in undecodable(sync, herd, facts)]
    return [*_bad_places(topology, sync, found), *undecoded, *_bad_relations(topology, sync, found)]


def _decoded(topology: Topology, sync: Sync) -> list[str]:
    """The databases of which a sync reads changes that come from the WAL."""
    if sync.type is not SyncType.PUSHDELTA:
        return []
    return [database.name for database in topology.masters(sync) if database.capture is Capture.WAL]


def written(topology: Topology, sync: Sync) -> list[Database]:
    """The databases that a sync writes to."""
    members = topology.members(sync)
    return list(members if sync.type is SyncType.SWAP else members[1:])


def _bad_places(topology: Topology, sync: Sync, found: Mapping[str, Facts]) -> Iterator[str]:
    members = [found[database.name] for database in topology.members(sync) if database.name in found]
    for facts in members:
        yield from _bad_server(facts)
    for facts in (found[database.name] for database in written(topology, sync) if database.name in found):
        yield from _bad_target(facts)
    for one, other in combinations(members, 2):
        if one.identity == other.identity:
            yield (
                f"sync {sync.name}: {one.database.name} and {other.database.name} are the same database"
                f" ({other.database.dbname} at {other.database.host}:{other.database.port}); correct one of them"
            )


def _bad_server(facts: Facts) -> Iterator[str]:
    if facts.standby:
        yield f"{facts.database}: it is a standby; point the database at the primary"
        return
    if not facts.creates:
        yield (
            f"{facts.database}: role {facts.role} cannot keep the replicator's schema there;"
            f' run `grant create on database "{facts.database.dbname}" to "{facts.role}"`,'
            " or let it own the schema that is there"
        )


def _bad_target(facts: Facts) -> Iterator[str]:
    if not facts.impersonates:
        remedy = "make it a superuser"
        if facts.version >= 150000:
            remedy = f'run `grant set on parameter session_replication_role to "{facts.role}"`, or {remedy}'
        yield f"{facts.database}: role {facts.role} cannot set session_replication_role; {remedy}"
    if not facts.stages:
        yield (
            f"{facts.database}: role {facts.role} cannot make temporary tables;"
            f' run `grant temporary on database "{facts.database.dbname}" to "{facts.role}"`'
        )


def _bad_relations(topology: Topology, sync: Sync, found: Mapping[str, Facts]) -> Iterator[str]:
    herd = topology.herds[sync.herd]
    places = [found[database.name] for database in topology.members(sync) if database.name in found]
    for facts in places:
        yield from _missing(herd, facts, facts.database.name == herd.database)
        yield from _bad_rights(topology, sync, facts)
    slaves = topology.slaves(sync)
    for table in herd.tables:
        yield from _bad_table(sync, herd, table, places, slaves)
    yield from _unknown_counters(sync, herd, places)
    for facts in places:
        for function in dict.fromkeys(sql_functions(sync)):
            if why := facts.functions.get(function):
                yield f"sync {sync.name}: strategy sql:{function}: on {facts.database.name} {why}"


def _unknown_counters(sync: Sync, herd: Herd, places: list[Facts]) -> Iterator[str]:
    for facts in places:
        relations = [relation for table in herd.tables if (relation := _table(facts, table))]
        for counter in sync.counters:
            name = counter.rpartition(".")[2]
            if not any(
                name in sync.counters_of(relation.name) and name in {column.name for column in relation.columns}
                for relation in relations
            ):
                yield (
                    f"sync {sync.name}: no table of herd {herd.name} has a column {counter} on {facts.database.name};"
                    " correct the counter's name"
                )


def _missing(herd: Herd, facts: Facts, is_source: bool) -> Iterator[str]:
    remedy = f"take it out of herd {herd.name}, or correct the name"
    if not is_source:
        remedy = f"create it there as it is on {herd.database}"
    for noun, kinds, names in (("table", "rp", herd.tables), ("sequence", "S", herd.sequences)):
        for name in names:
            relation = facts.relations.get(name)
            if relation is None:
                yield f"{facts.database}: there is no {noun} {name}; {remedy}"
            elif relation.kind not in kinds:
                kind = KINDS.get(relation.kind, "a table")
                yield f"{facts.database}: {name} is {kind}, not a {noun}; take it out of herd {herd.name}"


def _bad_rights(topology: Topology, sync: Sync, facts: Facts) -> Iterator[str]:
    herd = topology.herds[sync.herd]
    captured = needs(topology, facts.database.name)
    is_target = facts.database in written(topology, sync)
    for name in (*herd.tables, *herd.sequences):
        rights = facts.rights.get(name)
        if rights is None:
            continue
        if name in captured and not rights.owns:
            decoded = facts.database.capture is Capture.WAL and Kind.ROWS in captured[name].kinds
            act = "publish it" if decoded else "put triggers on it"
            yield (
                f"{facts.database}: role {facts.role} does not own {name}, so it cannot {act};"
                f' grant it the owner\'s role, or run `alter table {name} owner to "{facts.role}"`'
            )
        yield from _missing_privileges(facts, name, rights, _privileges(sync, herd, name, is_target))
        if rights.hidden:
            yield (
                f"{facts.database}: row security hides rows of {name} from role {facts.role};"
                f' run `alter role "{facts.role}" bypassrls`'
            )


def _privileges(sync: Sync, herd: Herd, name: TableName, is_target: bool) -> list[str]:
    if not is_target:
        return ["SELECT"]
    if name in herd.sequences:
        return ["SELECT", "UPDATE"]
    wanted = ["SELECT", "INSERT", "UPDATE", "DELETE"]
    truncates = sync.type is SyncType.FULLCOPY and sync.copymethod is CopyMethod.TRUNCATE
    return [*wanted, "TRUNCATE"] if truncates else wanted


def _missing_privileges(facts: Facts, name: TableName, rights: Rights, wanted: list[str]) -> Iterator[str]:
    lacking = ", ".join(privilege.lower() for privilege in wanted if privilege not in rights.may)
    if lacking:
        noun = "sequence " if facts.relations[name].kind == "S" else ""
        yield (
            f"{facts.database}: role {facts.role} may not {lacking} on {name};"
            f' run `grant {lacking} on {noun}{name} to "{facts.role}"` (and usage on its schema)'
        )


def _bad_table(sync: Sync, herd: Herd, table: TableName, places: list[Facts], slaves: Sequence[str]) -> Iterator[str]:
    present = {facts.database.name: relation for facts in places if (relation := _table(facts, table))}
    source = present.get(herd.database)
    if source is None:
        return
    keyed = sync.type is SyncType.PUSHDELTA or (sync.type is SyncType.SWAP and bool(source.key))
    if sync.type is SyncType.PUSHDELTA and not source.key:
        yield (
            f"sync {sync.name}: {table} has no primary key and no unique index on NOT NULL columns on {herd.database},"
            f" which a {sync.type} needs; add a primary key, or move the table to a fullcopy sync"
        )
    if sync.type is SyncType.SWAP and slaves and not source.key:
        yield (
            f"sync {sync.name}: {table} has no primary key and no unique index on NOT NULL columns on {herd.database},"
            f" which the slaves of a swap ({', '.join(slaves)}) need; add a primary key, or leave the table out"
        )
    for name, relation in present.items():
        yield from _bad_counters(sync, table, name, relation)
    for name, target in present.items():
        if name == herd.database:
            continue
        for difference in differences(source, target, keyed=keyed):
            yield (
                f"sync {sync.name}: {table} differs between {herd.database} (source) and {name} (target):"
                f" {difference}; make them equal"
            )
        if sync.type is SyncType.SWAP and set(target.key) != set(source.key):
            yield (
                f"sync {sync.name}: {table} is keyed by ({', '.join(source.key)}) on {herd.database} and by"
                f" ({', '.join(target.key)}) on {name}; give both the same primary key"
            )


def _bad_counters(sync: Sync, table: TableName, place: str, relation: Relation) -> Iterator[str]:
    columns = {column.name: column for column in relation.columns}
    for name in sync.counters_of(table):
        if name not in columns:
            continue
        wrong = ""
        if columns[name].stage_type not in NUMBERS:
            wrong = f"is {columns[name].type}, which is not a number that adds up exactly"
        elif not columns[name].notnull:
            wrong = "may be null; add NOT NULL"
        elif name in relation.key or not relation.key:
            wrong = "is part of the key, or the table has none"
        elif columns[name].generated:
            wrong = "is generated"
        if wrong:
            yield f"sync {sync.name}: counter {name} of {table} on {place} {wrong}; or leave it out of the counters"


def _table(facts: Facts, table: TableName) -> Relation | None:
    relation = facts.relations.get(table)
    return relation if relation and relation.kind in "rp" else None

"""Turns a Bucardo's configuration into databases, herds and syncs of this program. Pure.

What cannot be said in its words is left out, and what is left out is noted beside the object that it belonged to. The
types of Bucardo 4 are this program's. In Bucardo 5 the type follows from the roles of a sync's databases, so one sync
may become up to three: between its sources a swap, to its targets a pushdelta, to its fullcopy databases a fullcopy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from replicator.importing import notes
from replicator.importing.notes import Key, Notes
from replicator.importing.reading import Former, Row
from replicator.model import NAME, CopyMethod, Database, DbGroup, Herd, OneTimeCopy, Sync, SyncType, TableName, Topology

HOOKS = "docs/how-to/hooks.md"


@dataclass(frozen=True)
class Declaration:
    """What is to be printed. passwords: whether one is needed for the role; role: as whom most databases are entered.

    unnamed: databases whose Bucardo gives no host. notes: by (kind, name), kind "" for what belongs to nothing.
    """

    topology: Topology
    role: str
    passwords: bool
    unnamed: tuple[str, ...]
    notes: Mapping[Key, Sequence[str]]


@dataclass
class _Names:
    """Names that an inventory takes, one for each that Bucardo had."""

    taken: set[str] = field(default_factory=set)

    def new(self, wish: str) -> str:
        name = re.sub(r"[^A-Za-z0-9_]", "_", wish)
        name = (name if re.match("[A-Za-z]", name) else f"n_{name}")[:56]
        made = next(x for x in (name, *(f"{name}_{i}" for i in range(2, 10**6))) if x not in self.taken)
        assert NAME.fullmatch(made)
        self.taken.add(made)
        return made


def declare(former: Former) -> Declaration:
    """The declaration that comes nearest to a Bucardo's."""
    return _Maker(former).make()


class _Maker:
    def __init__(self, former: Former) -> None:
        self._former = former
        self._notes = Notes()
        self._places, self._herd_names, self._sync_names = _Names(), _Names(), _Names()
        self._databases: dict[str, Database] = {}
        self._groups: dict[str, DbGroup] = {}
        self._group_names: dict[str, str] = {}
        self._herds: dict[str, Herd] = {}
        self._syncs: dict[str, Sync] = {}
        self._relations = {row["id"]: row for row in former.relations}

    def make(self) -> Declaration:
        for row in self._former.dbs:
            self._database(row)
        if self._former.version == 4:
            self._make_groups()
        for row in self._former.herds:
            self._herd(row)
        for row in self._former.syncs:
            self._sync(row)
        notes.codes(self._former, self._notes, self._relations)
        notes.settings(self._former, self._notes)
        topology = Topology(self._databases, self._groups, {h.name: h for h in self._herds.values()}, self._syncs)
        users = Counter(database.user for database in self._databases.values())
        return Declaration(
            topology=topology,
            role=users.most_common(1)[0][0] if users else "bucardo",
            passwords=any(row.get("has_password") for row in self._former.dbs),
            unnamed=tuple(name for name, database in self._databases.items() if not database.host),
            notes=self._notes.found,
        )

    # --- databases ----------------------------------------------------------------------------------------------

    def _database(self, row: Row) -> None:
        name = row["name"]
        if row.get("dbtype", "postgres") != "postgres":
            self._notes.add("", "", f"database {name} is a {row['dbtype']}: only PostgreSQL takes part here")
            return
        made = self._places.new(name)
        port = str(row.get("dbport") or "")
        self._databases[name] = Database(
            name=made,
            dbname=row.get("dbname") or made,
            host=row.get("dbhost") or "",
            port=int(port) if port.isdigit() and 0 < int(port) < 65536 else 5432,
            user=row.get("dbuser") or "bucardo",
            options=notes.options(row, self._notes),
        )
        notes.database(row, self._notes)

    def _members(self, group: str, roles: Iterable[str] = ()) -> list[str]:
        """The databases of a group, the one of the highest priority first."""
        rows = [row for row in self._former.dbmap if row["dbgroup"] == group and row["db"] in self._databases]
        rows = [row for row in rows if not roles or row["role"] in roles]
        return [row["db"] for row in sorted(rows, key=lambda row: (-(row.get("priority") or 0), row["db"]))]

    def _make_groups(self) -> None:
        for name in sorted({row["dbgroup"] for row in self._former.dbmap}):
            if members := self._members(name):
                made = self._places.new(name)
                self._group_names[name] = made
                self._groups[made] = DbGroup(name=made, members=tuple(self._databases[m].name for m in members))

    # --- herds --------------------------------------------------------------------------------------------------

    def _herd(self, row: Row) -> None:
        links = [link for link in self._former.herdmap if link["herd"] == row["name"]]
        links.sort(key=lambda link: (-(link.get("priority") or 0), link["goat"]))
        members = [self._relations[link["goat"]] for link in links if link["goat"] in self._relations]
        homes = {member["db"] for member in members}
        if len(homes) != 1 or not homes <= self._databases.keys():
            where = "no database" if not homes else f"databases {', '.join(sorted(homes))}"
            self._notes.add("", "", f"herd {row['name']} is left out: its members are of {where}, expected of one")
            return
        made = self._herd_names.new(row["name"])
        kinds: dict[str, list[TableName]] = {"table": [], "sequence": []}
        for member in members:
            kinds[member["reltype"]].append(TableName(member["schemaname"], member["tablename"]))
            notes.relation(member, self._former, self._notes, made)
        home = self._databases[homes.pop()].name
        self._herds[row["name"]] = Herd(
            name=made, database=home, tables=tuple(kinds["table"]), sequences=tuple(kinds["sequence"])
        )

    def _own_strategies(self, herd: Herd, column: str) -> dict[TableName, str]:
        """The strategies that tables have for themselves, as far as they are known here."""
        found = {}
        for row in self._relations.values():
            table = TableName(row["schemaname"], row["tablename"])
            if row.get(column) and row["reltype"] == "table" and table in herd.tables:
                if strategy := notes.strategy(row[column], [d.name for d in self._databases.values()]):
                    found[table] = strategy
                else:
                    self._notes.add("herd", herd.name, f"{table}: strategy {row[column]} has no equivalent")
        return found

    # --- syncs --------------------------------------------------------------------------------------------------

    def _sync(self, row: Row) -> None:
        herd = self._herds.get(row["source"] if self._former.version == 4 else row["herd"])
        if herd is None:
            self._notes.add("", "", f"sync {row['name']} is left out: so is its herd")
            return
        made = list(self._syncs_of_4(row, herd) if self._former.version == 4 else self._syncs_of_5(row, herd))
        if not made:
            self._notes.add("", "", f"sync {row['name']} is left out: it has no target that can be")
        for sync in made:
            self._syncs[sync.name] = sync
            notes.sync(row, self._notes, sync, herd)

    def _syncs_of_4(self, row: Row, herd: Herd) -> Iterator[Sync]:
        targets = self._targets_of_4(row)
        if not targets:
            return
        kind = SyncType(row["synctype"])
        onward = "on" in (row.get("source_makedelta"), row.get("target_makedelta"))
        sync = replace(self._common(row, herd, kind), targets=targets, makedelta=onward)
        if kind is SyncType.SWAP:
            own = self._own_strategies(herd, "standard_conflict")
            yield self._with_strategies(sync, herd, "", own)
        else:
            yield sync

    def _targets_of_4(self, row: Row) -> tuple[str, ...]:
        if row.get("targetgroup"):
            group = self._group_names.get(row["targetgroup"])
            return (group,) if group else ()
        database = self._databases.get(row.get("targetdb") or "")
        return (database.name,) if database else ()

    def _syncs_of_5(self, row: Row, herd: Herd) -> Iterator[Sync]:
        sources = [name for name in self._names(row, "source") if name != herd.database]
        targets, copies = self._names(row, "target"), self._names(row, "fullcopy")
        onward = any(db.get("makedelta") for db in self._former.dbs if db["name"] in self._members(row["dbs"]))
        if sources:
            sync = replace(self._common(row, herd, SyncType.SWAP), targets=tuple(sources))
            own = self._own_strategies(herd, "conflict_strategy")
            said = str(row.get("conflict_strategy") or "")
            strategy = notes.strategy(said, [d.name for d in self._databases.values()])
            if not strategy:
                self._notes.add("sync", sync.name, f"conflict_strategy {said} has no equivalent: `latest` stands in")
            # What comes from the other masters is to reach the targets of the herd's own database too.
            yield self._with_strategies(replace(sync, makedelta=bool(targets or copies) or onward), herd, strategy, own)
        if targets:
            yield replace(self._common(row, herd, SyncType.PUSHDELTA), targets=tuple(targets), makedelta=onward)
        if copies:
            yield replace(self._common(row, herd, SyncType.FULLCOPY), targets=tuple(copies), makedelta=onward)

    def _names(self, row: Row, role: str) -> list[str]:
        return [self._databases[name].name for name in self._members(row["dbs"], (role,))]

    def _common(self, row: Row, herd: Herd, kind: SyncType) -> Sync:
        """What does not depend on the targets. A name that is taken by a sync's other part gets a number."""
        kick = row.get("ping") if self._former.version == 4 else row.get("autokick")
        method = str(row.get("deletemethod") or "")
        emptied = kind is SyncType.FULLCOPY and method.startswith("truncate")
        return Sync(
            name=self._sync_names.new(row["name"]),
            type=kind,
            herd=herd.name,
            targets=(),
            autokick=kick is not False,
            checktime=row.get("checktime"),
            onetimecopy=OneTimeCopy.ALWAYS if row.get("onetimecopy") == 1 else OneTimeCopy.EMPTY,
            copymethod=CopyMethod.TRUNCATE if emptied else CopyMethod.DIFF,
            paused=row.get("status") != "active",
        )

    @staticmethod
    def _with_strategies(sync: Sync, herd: Herd, said: str, own: Mapping[TableName, str]) -> Sync:
        """The strategy of most tables as the sync's, unless it has one; those of other tables beside it."""
        most = Counter(own.get(table, "") for table in herd.tables).most_common(1)
        strategy: Any = said or (most[0][0] if most else "") or "latest"
        others = {table: text for table, text in own.items() if text != strategy}
        return replace(sync, strategy=strategy, strategies=tuple(sorted(others.items())))

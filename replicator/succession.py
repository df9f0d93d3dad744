"""The will of a slave's lead: by what the slave can follow another master of the swap from here on, without a copy.

A slave holds its lead's rows as of its position. Beside that position it keeps how far the lead had followed each other
master then, and in which of its histories. Whatever another master's log knows beyond these the slave may lack; all
else it has. Who takes a slave over so is `syncrun.handover`; that logs keep what it needs is the purge's.

There is no will while the lead has seen something that it does not hold: keys that are parked there, tables that are
behind, columns that are being filled in. A slave without a will is copied anew, and the purge does not heed it. So the
first will is announced, with nothing in it, a batch before it counts: what the purge had found until then is older.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from replicator import progress
from replicator.model import Install, Link
from replicator.postgres import Connection
from replicator.progress import Origin, Position
from replicator.snapshot import Snapshot
from replicator.sql import in_schema


@dataclass(frozen=True)
class Heard:
    """How far a lead had followed another master, and in which of its histories."""

    snapshot: Snapshot
    origin: str


Will = Mapping[str, Heard]
"""By master. Empty: announced, nobody can take over by it yet."""


@dataclass(frozen=True)
class Left:
    """What a slave has of a master that it follows, or followed last. will: None where there is none."""

    position: Position
    will: Will | None

    def seen(self, master: str, lead: str, origin: Origin) -> Snapshot | None:
        """What the slave has of a master with that history, through its lead; None where that cannot be said."""
        if master == lead:
            return self.position.snapshot if self.position.origin == origin else None
        heard = (self.will or {}).get(master)
        return heard.snapshot if heard and heard.origin == history(origin) else None


def history(origin: Origin) -> str:
    """A node's history as text."""
    return f"{origin.node}/{origin.system_id}/{origin.timeline}/{origin.database}"


def draw_up(lead: Connection, install: Install, sync: str) -> Will | None:
    """How far a lead has followed the other masters, in the batch that it is asked in; None: it lacks what it saw."""
    query = sql.SQL(
        "select source, snapshot, node, system_id, timeline, database from {0}.progress"
        " where sync = %(sync)s and not exists (select from {0}.parked where sync = %(sync)s)"
        " and not exists (select from {0}.progress_table where sync = %(sync)s and state <> 'live')"
        " and not exists (select from {0}.table_columns where sync = %(sync)s and (parked or filling <> '{{}}'))"
    ).format(sql.Identifier(install.schema))
    found = {
        source: Heard(Snapshot.parse(at), history(Origin(node, system_id, timeline, int(database))))
        for source, at, node, system_id, timeline, database in lead.execute(query, {"sync": sync})
    }
    return found or None


def keep(slave: Connection, link: Link, will: Will | None) -> None:
    """Keep the will with the position. In the transaction that moves it."""
    query = in_schema(
        "update {0}.progress p set will = case when new.will is null then null"
        " when p.will is null then '{{}}' else new.will end"
        " from (select %s::jsonb as will) new where p.sync = %s and p.source = %s",
        link.install.schema,
    )
    told = None if will is None else json.dumps({name: [str(one.snapshot), one.origin] for name, one in will.items()})
    slave.execute(query, [told, link.sync.name, link.source.name], prepare=True)


def read(slave: Connection, install: Install, sync: str) -> dict[str, Left]:
    """What a slave has of the masters of a swap that it follows or followed: of one, as a rule."""
    query = sql.SQL("select source, will from {}.progress where sync = %s").format(sql.Identifier(install.schema))
    found = dict[str, Left]()
    for source, told in slave.execute(query, [sync]).fetchall():
        if position := progress.read(slave, install, sync, source):
            found[source] = Left(position, None if told is None else _will(told))
    return found


def _will(told: Mapping[str, tuple[str, str]]) -> Will:
    return {name: Heard(Snapshot.parse(at), origin) for name, (at, origin) in told.items()}

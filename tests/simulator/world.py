"""A swap without servers: nodes with tables, logs, transactions and clocks, and the links between them.

What is decided is decided by the engine's own functions: `conflict` (versions, standing, strategy, outcome), `snapshot`
(what a batch holds) and `purge.rule` (what may go). Only their surroundings are a model: a row is the number of the
write that made it, a lock is an entry in a dictionary, and every step of a link can be held up, lost, or killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from replicator import conflict
from replicator.conflict import Claim, Newest, Outcome, Rule, Standing, Version
from replicator.model import Strategy
from replicator.purge.rule import Generations, Look, Reader, horizon
from replicator.snapshot import NOTHING, Snapshot

MADE, INITIAL = 1000, 100
"""Keys from here on are of rows that histories make, one master each; where their counters begin."""

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AT_ONCE = 1000


@dataclass(frozen=True)
class Rules:
    """What the model does as the engine does; a test turns one off and sees that histories then go wrong."""

    floor: bool = True  # a node's clock is never behind what it has applied or purged
    reread: bool = True  # versions are compared once the rows are locked
    look: bool = True  # what was written ahead stays only if a look afterwards finds no rival
    early: bool = True  # what is counted on a row waits where the row is yet to come
    own_part: bool = True  # a row's maker sends what it has counted itself, and no more
    parts: bool = True  # a row that comes before its maker's part is counted up from what its sender has counted
    generations: bool = True  # versions stay for two generations
    second_look: bool = True  # a generation ends by a second look at the nodes, after the first at every one
    floor_for_silence: bool = (
        True  # a node's clock is never behind what it has applied without a note, even if set back
    )
    notes: bool = True  # what arrives is noted whatever the row, unless there are two masters and never were more


@dataclass(slots=True)
class LogRow:
    """A row of a change log. add: what a counter gained; `+` is the op of a change that did nothing else.

    source_xid: of what was applied, the transaction that wrote it on its author's node. part: the row came before what
    its maker had counted on it; whole: that was added now.
    """

    seq: int
    xid: int
    key: int
    at: datetime
    op: str
    origin: int | None = None
    author: int | None = None
    add: int = 0
    source_xid: int | None = None
    part: bool = False
    whole: bool = False


@dataclass
class Transaction:
    """An application's transaction. floor: as its snapshot shows it, for one that keeps its snapshot."""

    xid: int = 0
    keeps: bool = False
    since: int = 0
    floor: datetime = EARLIEST
    rows: dict[int, int | None] = field(default_factory=dict)
    writes: dict[int, int] = field(default_factory=dict)
    added: dict[int, int] = field(default_factory=dict)
    log: list[LogRow] = field(default_factory=list)


@dataclass(slots=True)
class Staged:
    """A key of a batch: its version, its row (None: gone) and write, and what its counter gained.

    Of a row that histories make: value: the counter there; others: how much of it others have gained since it was made;
    made: by the sender, in this batch, so that the value counts and not the gain; early: the target has yet to see it
    made.
    """

    key: int
    version: Version | None
    author: int
    settled: bool
    op: str
    row: int | None
    write: int
    add: int = 0
    xid: int = 0
    value: int = 0
    others: int = 0
    made: bool = False
    early: bool = False


@dataclass(slots=True)
class Decision:
    """What becomes of a staged key."""

    staged: Staged
    outcome: Outcome
    at: datetime = EARLIEST
    author: int = 0
    merged: int = 0


@dataclass
class Batch:
    """A batch on its way, by how far it is: read, then decided (its keys are locked on the target).

    knows: the source's positions when it was read. to_judge: it was written ahead, and taken back.
    """

    snapshot: Snapshot
    position: Snapshot
    knows: dict[int, Snapshot]
    staged: list[Staged]
    decided: list[Decision] | None = None
    locked: bool = False
    to_judge: bool = False
    xid: int = 0


@dataclass
class Node:
    """A master. writes: the write that made each key's present state, a deletion too. changed: when, by event.

    held: what sources' counters gained on keys that are yet to come; parts: and what the makers of such keys counted.
    """

    id: int
    skew: timedelta = timedelta()
    table: dict[int, int | None] = field(default_factory=dict)
    writes: dict[int, int] = field(default_factory=dict)
    counters: dict[int, int] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    log: dict[int, list[LogRow]] = field(default_factory=dict)
    floor: datetime = EARLIEST
    upcoming: int = 2
    seq: int = 0
    active: set[int] = field(default_factory=set)
    locks: dict[int, object] = field(default_factory=dict)
    open: list[Transaction] = field(default_factory=list)
    positions: dict[int, Snapshot] = field(default_factory=dict)
    knows: dict[int, dict[int, Snapshot]] = field(default_factory=dict)
    ledger: list[tuple[int, int, bool]] = field(default_factory=list)
    left: set[int] = field(default_factory=set)
    held: dict[tuple[int, int], int] = field(default_factory=dict)
    parts: dict[int, int] = field(default_factory=dict)

    def snapshot(self) -> Snapshot:
        """Which transactions have ended."""
        return Snapshot(min(self.active, default=self.upcoming), self.upcoming, frozenset(self.active))

    def begin(self) -> int:
        """A transaction's id."""
        xid, self.upcoming = self.upcoming, self.upcoming + 1
        self.active.add(xid)
        return xid

    def take_number(self) -> int:
        """The next value of the log's sequence."""
        self.seq += 1
        return self.seq

    def append(self, rows: list[LogRow]) -> None:
        """Let rows of an ended transaction be seen."""
        for row in rows:
            self.log.setdefault(row.key, []).append(row)

    def newest(self, key: int) -> tuple[LogRow, Version] | None:
        """The newest version that the log knows of a key, and its row."""
        versions = [row for row in self.log.get(key, ()) if row.op != "+"]
        if not versions:
            return None
        last = versions[-1]
        if last.origin is not None:
            return last, Version(last.at, last.origin)
        return last, Version(self.effective(versions), self.id)

    def lacks_part(self, key: int) -> bool:
        """Whether the row came before what its maker has counted on it."""
        found = [row.part for row in self.log.get(key, ()) if row.part or row.whole or row.op in ("I", "D")]
        return bool(found) and found[-1]

    @staticmethod
    def effective(versions: list[LogRow]) -> datetime:
        """The time of the newest of these, which is local."""
        remote = [row.at for row in versions if row.origin is not None]
        local = [row.at for row in versions if row.origin is None]
        return conflict.effective(max(local), max(remote) if remote else None)


Decide = Callable[[Claim, Claim, str], bool | None]


class World:
    """The nodes, by id, and the links between all pairs of members. The first node is the sync's source."""

    def __init__(
        self, nodes: int, keys: int, rule: Rule, rules: Rules, decide: Decide | None = None, pace: int = AT_ONCE
    ) -> None:
        """pace: how many looks at nodes a survey takes between two events."""
        self.rules = rules
        self.pace = pace
        self.looks: Iterator[None] | None = None
        self.rule = rule
        self.decide = decide or rule.wins
        self.merges = False
        self.merged: dict[frozenset[int], int] = {}
        self.now = BEGIN
        self.events = 0
        self.keys = keys
        self.parents: dict[int, set[int]] = {0: set()}
        self.committed: set[int] = set()
        self.nodes = {number: Node(number) for number in range(1, nodes + 1)}
        for node in self.nodes.values():
            node.table = dict.fromkeys(range(keys), 0)
            node.writes = dict.fromkeys(range(keys), 0)
            node.counters = dict.fromkeys(range(keys), 0)
        self.total = dict.fromkeys(range(keys), 0)
        self.made: list[int] = []
        self.members = list(self.nodes)
        self.silent = nodes == 2
        self.batches: dict[tuple[int, int], Batch] = {}
        self.cut: set[tuple[int, int]] = set()
        self.generations = Generations()
        for one, other in self.pairs():
            self.nodes[other].positions[one] = self.nodes[one].snapshot()

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Every ordered pair of members."""
        return ((one, other) for one in self.members for other in self.members if one != other)

    def clock(self, node: Node) -> datetime:
        """What a node's clock shows."""
        return self.now + node.skew

    # --- applications -------------------------------------------------------------------------------------------

    def open(self, number: int, *, keeps: bool) -> None:
        """Begin a transaction, at most three at a time. keeps: REPEATABLE READ."""
        node = self.nodes[number]
        if number in self.members and len(node.open) < 3:
            node.open.append(Transaction(keeps=keeps, since=self.events, floor=node.floor))

    def write(self, number: int, place: int, key: int, op: str, *, add: int = 0) -> None:
        """Write a key in the open transaction of that place, or in one of its own. op: `write`, `delete` or `add`."""
        node = self.nodes[number]
        if number not in self.members:
            return
        self.events += 1
        if not node.open or place >= len(node.open):
            transaction = Transaction(since=self.events)
            self._write(node, transaction, key, op, add)
            self._commit(node, transaction)
        else:
            self._write(node, node.open[place], key, op, add)

    def _write(self, node: Node, transaction: Transaction, key: int, op: str, add: int) -> None:
        owner = node.locks.get(key)
        if owner is not None and owner is not transaction:
            return  # it would wait
        if transaction.keeps and node.changed.get(key, 0) > transaction.since:
            self._end(node, transaction)  # could not serialize access
            return
        row = transaction.rows.get(key, node.table.get(key))
        if row is None and op in ("delete", "add"):
            return
        if not transaction.xid:
            transaction.xid = node.begin()
        node.locks[key] = transaction
        floor = EARLIEST
        if self.rules.floor:
            floor = node.floor
        at = conflict.stamped(self.clock(node), floor)
        log = LogRow(node.take_number(), transaction.xid, key, at, "+" if op == "add" else "I" if row is None else "U")
        if op == "add":
            log.add = add
            transaction.added[key] = transaction.added.get(key, 0) + add
        else:
            number = len(self.parents)
            self.parents[number] = {transaction.writes.get(key, node.writes.get(key, 0))}
            transaction.writes[key] = number
            transaction.rows[key] = None if op == "delete" else number
            log.op = "D" if op == "delete" else log.op
        transaction.log.append(log)

    def move(self, number: int, place: int, key: int, to: int) -> None:
        """Change a row's key: the old one goes, the new one comes, in one transaction."""
        node = self.nodes[number]
        if key == to or number not in self.members or node.table.get(key) is None or {key, to} & node.locks.keys():
            return
        self.open(number, keeps=False)
        if node.open:
            last = len(node.open) - 1
            self.write(number, last, key, "delete")
            self.write(number, last, to, "write")
            if place:
                self.commit(number, last)

    def commit(self, number: int, place: int) -> None:
        """Commit the open transaction of that place."""
        node = self.nodes[number]
        if place < len(node.open):
            self._commit(node, node.open[place])

    def _commit(self, node: Node, transaction: Transaction) -> None:
        self.events += 1
        node.append(transaction.log)
        node.table.update(transaction.rows)
        node.writes.update(transaction.writes)
        self.committed |= set(transaction.writes.values())
        for key, gain in transaction.added.items():
            node.counters[key] += gain
            self.total[key] += gain
        for row in transaction.log:
            node.changed[row.key] = self.events
        self._end(node, transaction)

    def make(self, number: int) -> None:
        """Insert a row under a key of its own, with a counter that begins at INITIAL."""
        if number in self.members:
            key = MADE + len(self.made)
            self.made.append(key)
            self.total[key] = self.nodes[number].counters[key] = INITIAL
            self.write(number, 9, key, "write")

    def on_made(self, number: int, which: int, op: str, add: int = 0) -> None:
        """Change a row that was made, where it has arrived."""
        if self.made and number in self.members:
            key = self.made[which % len(self.made)]
            if self.nodes[number].table.get(key) is not None:
                self.write(number, 9, key, op, add=add)

    def abort(self, number: int, place: int) -> None:
        """Roll the open transaction of that place back."""
        node = self.nodes[number]
        if place < len(node.open):
            self._end(node, node.open[place])

    @staticmethod
    def _end(node: Node, transaction: Transaction) -> None:
        node.active.discard(transaction.xid)
        node.locks = {key: owner for key, owner in node.locks.items() if owner is not transaction}
        node.open = [other for other in node.open if other is not transaction]

    def crash(self, number: int) -> None:
        """A server dies and comes back: what was open is gone, and so are the batches that came from or went to it."""
        node = self.nodes[number]
        for transaction in list(node.open):
            self._end(node, transaction)
        for pair in list(self.batches):
            if number in pair:
                self.drop(*pair)

    # --- links --------------------------------------------------------------------------------------------------

    def read(self, source: int, target: int) -> None:
        """Read a batch, in one transaction of the source."""
        pair = source, target
        if not {*pair} <= {*self.members} or source == target or pair in self.cut or pair in self.batches:
            return
        here, there = self.nodes[source], self.nodes[target]
        position = there.positions[source]
        held = {key for origin, key in there.held if origin == source}
        staged = [row for key in here.log if (row := self._staged(here, key, position, again=key in held))]
        for row in staged:
            self._look_at_made(row, here, there, target)
        self.batches[pair] = Batch(here.snapshot(), position, dict(here.positions), staged)
        if not self.rules.reread:
            self._decide(pair)

    @staticmethod
    def _staged(node: Node, key: int, position: Snapshot, *, again: bool = False) -> Staged | None:
        mine = [row for row in node.log[key] if row.origin is None and not position.sees(row.xid)]
        if not mine and not again:
            return None
        add = sum(row.add for row in mine)
        newest = node.newest(key)
        row, write = node.table.get(key), node.writes.get(key, 0)
        if newest is None or newest[0].origin is not None or not (again or any(other.op != "+" for other in mine)):
            made = max((other.xid for other in mine if other.op == "I"), default=0) if key >= MADE else 0
            return Staged(key, None, node.id, False, "+", row, write, add, made) if add or again or made else None
        last, version = newest
        author = last.author or node.id
        return Staged(key, version, author, last.author is not None, last.op, row, write, add, last.xid)

    def _look_at_made(self, staged: Staged, here: Node, there: Node, target: int) -> None:
        """What comes with a key that was made in a history, and so is not everywhere from the beginning."""
        if staged.key < MADE:
            return
        log = here.log[staged.key]
        mine = [row.seq for row in log if row.op == "I" and row.origin is None]
        position = there.positions[here.id]
        staged.made = any(row.op == "I" and row.origin is None and not position.sees(row.xid) for row in log)
        staged.value = here.counters[staged.key]
        if staged.made:
            staged.op = "I"  # whatever was done to it since, the target sees it made
        if staged.made and self.rules.own_part:
            staged.others = sum(row.add for row in log if row.origin is not None and row.seq > max(mine))
        makings = [
            (row.origin, row.source_xid)
            for row in log
            if (row.op in ("I", "D") or row.whole) and row.origin not in (None, target) and row.source_xid is not None
        ]
        had = {number: at for number, at in there.positions.items() if number != here.id}
        early = conflict.early(makings, had) or here.lacks_part(staged.key)  # type: ignore[arg-type]
        staged.early = self.rules.early and early

    def lock(self, source: int, target: int) -> None:
        """Write ahead, or lock the batch's rows on the target and decide; what is taken back is locked next time."""
        pair = source, target
        batch, there = self.batches.get(pair), self.nodes[target]
        if batch is None or batch.locked or pair in self.cut:
            return
        if any(staged.key in there.locks for staged in batch.staged):
            return
        for staged in batch.staged:
            there.locks[staged.key] = batch
        if self.rules.reread and not batch.to_judge and all(map(self._may_go_ahead, batch.staged)):
            if not all(self._stays(pair, batch, there, staged) for staged in batch.staged):
                batch.to_judge = True
                self._unlock(there, batch)
                return
            batch.decided = [self._taken(staged) for staged in batch.staged]
        batch.locked = True
        batch.xid = there.begin()
        if self.rules.reread and batch.decided is None:
            self._decide(pair)

    @staticmethod
    def _may_go_ahead(staged: Staged) -> bool:
        """As `apply.ahead`: all but what has to do with counters."""
        return staged.version is not None and not staged.add and staged.key < MADE

    def _stays(self, pair: tuple[int, int], batch: Batch, there: Node, staged: Staged) -> bool:
        """Whether what was written ahead may stay: there was what it takes, and no version here is unknown to it."""
        here = there.table.get(staged.key) is not None
        if here == (staged.row is not None and staged.op == "I"):
            return False
        assert staged.version is not None
        for row in there.log.get(staged.key, ()) if self.rules.look else ():
            version = Version(row.at, row.origin or there.id)
            known = self._known(pair, batch, there, staged, row, version)
            if row.op != "+" and conflict.standing(staged.version, known) is not Standing.NEWER:
                return False
        assert not self.rules.look or self._judge(pair, batch, there, staged) == self._taken(staged)
        return True

    @staticmethod
    def _taken(staged: Staged) -> Decision:
        assert staged.version is not None
        return Decision(staged, Outcome.TAKE, staged.version.at, staged.author)

    def _decide(self, pair: tuple[int, int]) -> None:
        batch, there = self.batches[pair], self.nodes[pair[1]]
        batch.decided = [self._judge(pair, batch, there, staged) for staged in batch.staged]

    def _judge(self, pair: tuple[int, int], batch: Batch, there: Node, staged: Staged) -> Decision:
        if staged.version is None:
            return Decision(staged, Outcome.KEEP)
        newest, known = there.newest(staged.key), None
        if newest is not None:
            known = self._known(pair, batch, there, staged, *newest)
        match conflict.standing(staged.version, known):
            case Standing.NEWER:
                return self._taken(staged)
            case Standing.OLDER:
                return Decision(staged, Outcome.KEEP)
        assert newest is not None
        row, version = newest
        incoming = Claim(staged.version, staged.author, staged.settled)
        local = Claim(version, row.author or version.node, row.author is not None)
        same = staged.write == there.writes[staged.key]
        settled = incoming.settled and local.settled
        if self.merges and not same and (not settled or conflict.merges_again(incoming, local, there.id)):
            return self._merge(there, staged, conflict.anew(staged.version, version))
        wins = staged.version > version if same else self.decide(incoming, local, str(staged.key))
        found = conflict.outcome(wins, staged.version, version)
        taken = found in (Outcome.TAKE, Outcome.TAKE_ANEW)
        if same:
            pass
        elif found is Outcome.LEAVE:
            there.ledger.append((staged.key, staged.write, False))
            there.ledger.append((staged.key, there.writes[staged.key], False))
            there.left.add(staged.key)
        else:
            there.ledger.append((staged.key, there.writes[staged.key] if taken else staged.write, taken))
        at = staged.version.at if found is Outcome.TAKE else conflict.anew(staged.version, version)
        return Decision(staged, found, at, incoming.author if taken else local.author)

    def _merge(self, there: Node, staged: Staged, at: datetime) -> Decision:
        """Make a third row of a staged one and the one that is there."""
        pair = frozenset((staged.write, there.writes[staged.key]))
        absorbing = [write for write in pair if pair - {write} <= self._ancestors(write)]
        number = absorbing[0] if absorbing else self.merged.setdefault(pair, len(self.parents))
        self.parents.setdefault(number, set(pair))
        return Decision(staged, Outcome.MERGE, at, there.id, number)

    def _ancestors(self, write: int) -> set[int]:
        found, todo = set[int](), [write]
        while todo:
            new = self.parents[todo.pop()] - found
            found |= new
            todo += new
        return found

    def _known(
        self, pair: tuple[int, int], batch: Batch, there: Node, staged: Staged, row: LogRow, version: Version
    ) -> Newest:
        if row.origin is None:
            return Newest(version, True, batch.knows.get(pair[1], NOTHING).sees(row.xid))
        if row.source_xid is None or row.origin not in batch.knows:
            return Newest(version, False, knew=True)
        told = there.knows.get(row.origin, {})
        knew = pair[0] not in told or told[pair[0]].sees(staged.xid)
        return Newest(version, False, batch.knows[row.origin].sees(row.source_xid), knew)

    def land(self, source: int, target: int) -> None:
        """Write and commit the batch."""
        pair = source, target
        batch, here, there = self.batches.get(pair), self.nodes[source], self.nodes[target]
        if batch is None or not batch.locked or pair in self.cut:
            return
        self.events += 1
        assert batch.decided is not None
        rows: list[LogRow] = []
        for decision in batch.decided:
            rows += self._apply(here, there, batch.xid, decision)
        there.append(rows)
        there.positions[source] = batch.snapshot
        there.knows[source] = batch.knows
        for row in rows:
            there.changed[row.key] = self.events
        self._forget(pair)

    def _apply(self, here: Node, there: Node, xid: int, decision: Decision) -> Iterator[LogRow]:
        staged, outcome = decision.staged, decision.outcome
        key, comes_in_part = staged.key, False
        if key >= MADE:
            staged.add += there.held.pop((here.id, key), 0)
            if staged.version is None and there.table.get(key) is None:
                if staged.made:
                    there.parts[key] = staged.value - staged.others
                elif staged.early or key in there.parts:
                    there.held[here.id, key] = staged.add
                return
            comes_in_part = not staged.made and there.table.get(key) is None
            comes_in_part = comes_in_part and (staged.early or key in there.parts) and self.rules.parts
            if self._count_on_made(there, decision, comes_in_part):
                yield LogRow(there.take_number(), xid, key, EPOCH, "+", here.id, source_xid=staged.xid, whole=True)
            if staged.add and not staged.made and there.table.get(key) is not None:
                yield LogRow(there.take_number(), xid, key, EPOCH, "+", here.id, add=staged.add)
        elif staged.add:
            there.counters[key] += staged.add
            yield LogRow(there.take_number(), xid, key, EPOCH, "+", here.id, add=staged.add)
        if outcome is Outcome.KEEP:
            return
        was_here = staged.op == "I" and there.table.get(key) is not None
        if outcome in (Outcome.TAKE, Outcome.TAKE_ANEW):
            there.table[key] = staged.row
            there.writes[key] = staged.write
        if outcome is Outcome.MERGE:
            there.table[key] = there.writes[key] = decision.merged
        number = there.take_number()
        if outcome in (Outcome.TAKE, Outcome.LEAVE):
            assert staged.version is not None
            at = staged.version.at
            author = staged.author if staged.settled else None
            if self._silent(there, key):
                if self.rules.floor_for_silence:
                    there.floor = max(there.floor, at)
            else:
                op = "I" if comes_in_part else staged.op
                yield LogRow(number, xid, key, at, op, here.id, author, source_xid=staged.xid, part=comes_in_part)
                if comes_in_part and key in there.parts:
                    there.counters[key] += there.parts.pop(key)
                    yield LogRow(there.take_number(), xid, key, EPOCH, "+", here.id, whole=True)
        else:
            at = decision.at
            yield LogRow(number, xid, key, at, "U" if was_here else staged.op, None, decision.author)
        if self.rules.floor:
            there.floor = conflict.raised(there.floor, at, self.clock(there))

    def _silent(self, there: Node, key: int) -> bool:
        """Whether a row that arrives is not noted."""
        return self.silent and not there.log.get(key)

    def _count_on_made(self, there: Node, decision: Decision, comes_in_part: bool) -> bool:
        """As `apply.counters`: a row that is new brings its counter, to others a gain is added.

        A row that comes before its maker's part brings what its sender has counted, and no more; whether that part is
        added now.
        """
        staged, key = decision.staged, decision.staged.key
        taken = decision.outcome in (Outcome.TAKE, Outcome.TAKE_ANEW)
        if there.table.get(key) is None:
            if taken:
                there.counters[key] = staged.add if comes_in_part else staged.value - staged.others
        elif staged.made and there.lacks_part(key):
            there.counters[key] += staged.value - staged.others
            return True
        elif staged.made and taken:
            there.counters[key] = staged.value
        elif not staged.made:
            there.counters[key] += staged.add
        return False

    def drop(self, source: int, target: int) -> None:
        """Lose a batch, before its commit."""
        if (source, target) in self.batches:
            self._forget((source, target))

    def _forget(self, pair: tuple[int, int]) -> None:
        batch, there = self.batches.pop(pair), self.nodes[pair[1]]
        self._unlock(there, batch)
        there.active.discard(batch.xid)

    @staticmethod
    def _unlock(there: Node, batch: Batch) -> None:
        there.locks = {key: owner for key, owner in there.locks.items() if owner is not batch}

    def run(self, source: int, target: int) -> bool:
        """All steps of a batch at once, or those that are left; whether there may be more to do."""
        pair, before = (source, target), self.nodes[target].seq
        under_way = pair in self.batches
        self.read(source, target)
        self.lock(source, target)
        self.lock(source, target)  # what was taken back
        self.land(source, target)
        return under_way or pair in self.batches or self.nodes[target].seq != before

    # --- the purge ----------------------------------------------------------------------------------------------

    def survey(self) -> None:
        """Begin to look at the nodes, unless that is under way; at the end a generation ends if it has."""
        if self.looks is None:
            self.looks = self._survey()
            self.look_on()

    def look_on(self) -> None:
        """Look at some more nodes, if a survey is under way."""
        for _ in range(self.pace):
            if self.looks is not None and next(self.looks, self) is self:
                self.looks = None

    def _survey(self) -> Iterator[None]:
        """Positions first, then one node after the other, twice."""
        members = list(self.members)
        positions = {(str(a), str(b)): self.nodes[b].positions.get(a) for a, b in self.pairs()}
        looks: list[dict[str, Snapshot]] = [{}, {}]
        for look in looks:
            for number in members:
                yield
                look[str(number)] = self.nodes[number].snapshot()
        if members != self.members:
            return  # what is declared has changed meanwhile
        first, second = looks if self.rules.second_look else looks[:1] * 2
        self.generations.advance(
            {str(number): number for number in members},  # type: ignore[misc]
            {str(number): Look(first[str(number)], second[str(number)]) for number in members},
            positions,
        )

    def purge(self, number: int) -> None:
        """Remove from a node's log what may go."""
        if number not in self.members:
            return
        node = self.nodes[number]
        readers = [
            Reader(str(other), self.nodes[other].positions.get(number)) for one, other in self.pairs() if one == number
        ]
        if self.rules.generations:
            readers.append(Reader("swap", self.generations.settled(str(number))))
        xid = horizon(readers, node.snapshot()).xid
        for key, rows in list(node.log.items()):
            gone = [row for row in rows if row.xid < xid]
            if gone:
                node.log[key] = kept = [row for row in rows if row.xid >= xid]
                self._bequeath(node, gone, kept)

    def _bequeath(self, node: Node, gone: list[LogRow], kept: list[LogRow]) -> None:
        """What goes leaves its time to later changes of the row, and to the floor."""
        for row in kept:
            for old in gone:
                if row.origin is None and old.op != "+" and row.op != "+" and old.seq < row.seq:
                    row.at = conflict.inherited(row.at, old.at, from_here=old.origin is None)
        if self.rules.floor:
            node.floor = max(node.floor, *(row.at for row in gone))

    # --- nodes that come and go ---------------------------------------------------------------------------------

    def add(self, number: int) -> None:
        """Take a node in: a copy of the source, with the versions that its log knows, and its positions on others."""
        if number in self.nodes or len(self.members) >= 4:
            return
        lead = self.nodes[self.members[0]]
        self.silent = self.silent and not self.rules.notes
        node = Node(number, table=dict(lead.table), writes=dict(lead.writes), counters=dict(lead.counters))
        xid = node.begin()
        for key in lead.log:
            if known := lead.newest(key):
                row, version = known
                op = row.op
                node.append([LogRow(node.take_number(), xid, key, version.at, op, version.node, row.author)])
        node.active.discard(xid)
        node.floor = lead.floor
        node.positions = {n: at for n, at in lead.positions.items() if n in self.members}
        node.positions[lead.id] = lead.snapshot()
        for other in self.members:
            self.nodes[other].positions[number] = NOTHING
        self.nodes[number] = node
        self.members.append(number)

    def remove(self, number: int) -> None:
        """Take a node out once the others have what was written there."""
        if number not in self.members[1:] or len(self.members) < 3:
            return
        node = self.nodes[number]
        for transaction in list(node.open):
            self._commit(node, transaction)
        for other in self.members:
            if other != number and not self._drain(number, other):
                return
        self.members.remove(number)
        for pair in list(self.batches):
            if number in pair:
                self.drop(*pair)
        for other in self.members:
            self.nodes[other].positions.pop(number, None)

    def _drain(self, source: int, target: int) -> bool:
        if (source, target) in self.cut:
            return False
        for _ in range(3):
            self.run(source, target)
        return not any(
            self._staged(self.nodes[source], key, self.nodes[target].positions[source])
            for key in self.nodes[source].log
        )

    # --- the end ------------------------------------------------------------------------------------------------

    def settle(self, most: int = 60) -> bool:
        """Let everything arrive; whether it came to rest."""
        self.cut.clear()
        for number in self.members:
            for transaction in list(self.nodes[number].open):
                self._commit(self.nodes[number], transaction)
        return any(not [pair for pair in list(self.pairs()) if self.run(*pair)] for _ in range(most))


def everything_goes(rule: Rule) -> bool:
    """Whether a strategy makes all nodes equal: all but those that leave rows as they are."""
    return rule.kind not in (Strategy.SKIP, Strategy.ABORT)

"""What a batch and a look cost, in counts that do not vary with the machine: round trips, and bytes that are moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from replicator.apply import pump
from replicator.change import Counts
from replicator.model import Capture, SyncType
from replicator.question import Question
from replicator.syncrun import LinkRunner
from replicator.syncrun.batch import VAIN
from replicator.syncrun.job import Job
from tests.fixtures.lab import Build, Lab
from tests.fixtures.nodes import NodeFactory, Pair
from tests.fixtures.servers import Server

TABLE = "create table t (id int primary key, number int not null, filler text not null)"
FILL = "insert into t select i, i, repeat('x', 80) from generate_series(1, 5000) i"
ROW = 2 + (4 + 1) + (4 + 4) + (4 + 4) + (4 + 80)
"""A row of it in COPY's binary form: how many fields; then of each its length and value, the first says `gone`."""

FRAME = 19 + 2
"""What COPY's binary form begins and ends with."""

LINE = len("f\t5\t26\t\n") + 80
"""A row of it in COPY's text form, in which few rows travel."""
TAKING = (pump._fill.__name__,)
"""What waits for rows: a server that sends them is not asked for each."""

Waits = Callable[[Callable[[], object]], Counter[str]]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Counts how often a connection waits for its server while something is done, by the connection's purpose."""
    counts: Counter[str] = Counter()
    original, ask = psycopg.Connection.wait, Question.ask

    def purpose(connection: psycopg.Connection[Any]) -> str:
        return connection.info.get_parameters().get("application_name", "").rpartition(" ")[2]

    def wait(self: psycopg.Connection[Any], doing: Any, *args: Any, **options: Any) -> Any:
        # Into a pipeline things are only sent, once it is there; answers are awaited by other means.
        sent = self.info.pipeline_status and doing.__name__ in ("_enter_gen", "_execute_gen")
        counts[purpose(self)] += not sent and doing.__name__ not in ("_enter_gen", "_read_gen", *TAKING)
        return original(self, doing, *args, **options)

    def question(self: Question) -> tuple[bytes, ...]:
        counts[purpose(self._connection)] += 1
        return ask(self)

    monkeypatch.setattr(Question, "ask", question)
    monkeypatch.setattr(psycopg.Connection, "wait", wait)

    def during(act: Callable[[], object]) -> Counter[str]:
        counts.clear()
        act()
        return Counter(counts)

    return during


@contextmanager
def moved(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    sizes: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(Job, "moved", lambda _, size: sizes.append(size))
        yield sizes


def running(lab: Build, pair: Pair, type_: SyncType = SyncType.PUSHDELTA, tables: tuple[str, ...] = ("t",)) -> Lab:
    made = lab(list(pair), type_, tables)
    made.settle()
    for number in (1, 2):  # the first batch makes its staging table, and notes what had been logged before
        pair.source.execute(f"update {tables[0]} set number = -{number} where id = 1")
        made.run()
    return made


def batch(pair: Pair, runner: LinkRunner, waits: Waits, change: str) -> Counter[str]:
    """The fewest of three: where the server's own processes write just then, the source is made durable first."""

    def once() -> Counter[str]:
        pair.source.execute(change)
        return waits(runner.run)

    return min((once() for _ in range(3)), key=lambda counts: sum(counts.values()))


def test_round_trips_where_changes_are_decoded(
    node_factory: NodeFactory, second_server: Server, lab: Build, waits: Waits
) -> None:
    pair = node_factory.pair(target=second_server, schema=TABLE)
    pair.source.execute(FILL)
    made = lab(list(pair), capture=Capture.WAL)
    made.settle()
    runner = made.sync()[0]
    one = batch(pair, runner, waits, "update t set number = 7 where id = 7")
    many = batch(pair, runner, waits, "update t set number = 8 where id <= 500")
    assert one["read"] <= 21 and one["write"] <= 2, one
    assert many["read"] <= one["read"] + 1, "what is decoded is not sent here"
    looked = waits(runner.pending)
    assert looked["read"] <= 2, looked


@pytest.mark.parametrize(
    ("type_", "read", "write"), [(SyncType.PUSHDELTA, 2, 2), (SyncType.SWAP, 2, 10)], ids=["pushdelta", "swap"]
)
def test_round_trips_of_a_batch(
    node_factory: NodeFactory, second_server: Server, lab: Build, waits: Waits, type_: SyncType, read: int, write: int
) -> None:
    pair = node_factory.pair(target=second_server, schema=TABLE)
    pair.source.execute(FILL)
    runner = running(lab, pair, type_).sync()[0]
    one = batch(pair, runner, waits, "update t set number = 7 where id = 7")
    many = batch(pair, runner, waits, "update t set number = 8 where id <= 500")
    assert one["read"] <= read and one["write"] <= write, one
    assert many == one + Counter(read=1), "whatever is more than an answer holds costs one"


def test_batches_without_a_change_spend_no_transaction_id(
    node_factory: NodeFactory, second_server: Server, lab: Build
) -> None:
    pair = node_factory.pair(target=second_server, schema=TABLE)
    pair.source.execute(FILL)
    runner = running(lab, pair).sync()[0]

    def spent(batches: int) -> int:
        """What is spent while others write to tables of their own."""
        before = pair.target.value("select txid_snapshot_xmax(txid_current_snapshot())")
        for _ in range(batches):
            pair.source.execute("select nextval('pgherd.seq')")
            assert runner.run().counts == Counts()
        return pair.target.value("select txid_snapshot_xmax(txid_current_snapshot())") - before

    assert spent(VAIN) >= VAIN, "the position is locked, for there may be something to write"
    assert min(spent(5) for _ in range(3)) == 0


def test_round_trips_of_a_look_do_not_grow_with_tables(node_factory: NodeFactory, lab: Build, waits: Waits) -> None:
    names = [f"t{number}" for number in range(30)]
    pair = node_factory.pair(schema="".join(TABLE.replace("table t", f"table {name}") + ";" for name in names))
    pair.source.execute(FILL.replace("into t", "into t0"))
    runner = running(lab, pair, tables=tuple(names)).sync()[0]
    while runner.pending():
        runner.run()
    looks = [waits(runner.pending) for _ in range(5)]
    assert min(sum(look.values()) for look in looks) == 1
    one = batch(pair, runner, waits, "update t0 set number = 7 where id = 7")
    assert one["read"] <= 3 and one["write"] <= 2, one


def test_bytes_of_a_row(node_factory: NodeFactory, lab: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = node_factory.pair(schema=TABLE)
    pair.source.execute(FILL)
    made = running(lab, pair)
    pair.source.execute("update t set number = number + 1 where id <= 2000")
    with moved(monkeypatch) as sizes:
        assert made.run().updated == 2000
    assert sum(sizes) == FRAME + 2000 * ROW
    for _ in range(20):
        pair.source.execute("update t set number = number + 1 where id = 5")
    with moved(monkeypatch) as sizes:
        assert made.run().updated == 1
    assert sum(sizes) == LINE, "a row that changed often travels once"

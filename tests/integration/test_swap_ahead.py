"""A batch between masters is written at once where it meets nothing, and is taken back and judged where it does."""

from __future__ import annotations

import threading

import pytest

from replicator.apply import swap
from replicator.change import Counts
from replicator.model import SyncType
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Pair
from tests.fixtures.wait import until

CHANGES = {
    "deletes": "delete from t where id <= 2",
    "updates": "update t set v = 'new' where id <= 2",
    "inserts": "insert into t values (98, 'new'), (99, 'new')",
    "all kinds": "delete from t where id = 1; update t set v = 'new' where id = 2; insert into t values (99, 'new')",
}


def _settled(lab: Build, nodes: Pair) -> Lab:
    for node in nodes:
        node.execute("create table t (id int primary key, v text)")
    nodes.source.execute("insert into t select i, 'old' from generate_series(1, 5) i")
    made = lab(list(nodes), SyncType.SWAP)
    made.settle()
    return made


@pytest.mark.parametrize("change", CHANGES)
def test_what_meets_nothing_is_not_judged(
    nodes: Pair, lab: Build, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _settled(lab, nodes)
    monkeypatch.setattr(swap, "_judge_and_write", lambda *_, **__: pytest.fail("judged"))
    nodes.target.execute("update t set v = 'of another row' where id = 5")  # which the source has yet to see
    nodes.source.execute(CHANGES[change])
    assert made.sync()[0].run().counts.rows == (3 if change == "all kinds" else 2)
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)


WRITES = {
    "update t set v = 'here' where id = 2": ("2", "here"),
    "delete from t where id = 2": ("2", None),
    "delete from t where id = 2; insert into t values (2, 'here')": ("2", "here"),
    "insert into t values (99, 'here')": ("99", "here"),
    "insert into t values (99, 'here'); delete from t where id = 99": ("99", None),
}
"""What an application does to a row that is on its way, and what is to be left of that row: its change is the later."""


@pytest.mark.parametrize("write", WRITES)
def test_what_is_met_while_it_is_written_is_judged(nodes: Pair, lab: Build, write: str) -> None:
    """The application's change is not committed when the link first looks, and nothing shows of it."""
    made = _settled(lab, nodes)
    nodes.source.execute(CHANGES["all kinds"])
    link, done = made.sync()[0], list[Counts]()
    with nodes.target.connect() as application:
        application.autocommit = False
        application.execute(write)
        thread = threading.Thread(target=lambda: done.append(link.run().counts))
        thread.start()
        waiting = "select count(*) from pg_locks where not granted"
        until(lambda: nodes.target.value(waiting) or not thread.is_alive(), 10, "the link waits for the application")
        application.commit()
        thread.join()
    assert done[0].conflicts == 1
    made.settle()
    assert rows(nodes.source) == rows(nodes.target)
    key, value = WRITES[write]
    assert nodes.source.value(f"select max(v) from t where id = {key}") == value

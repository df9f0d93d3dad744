"""What applications write on a master while it is filled from another stays and travels, or meets and is named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from replicator import failpoint
from replicator.apply import diff
from replicator.apply.stage import Stage
from replicator.change import Counts
from replicator.errors import ConnectionLost
from replicator.model import Link, OneTimeCopy, SyncType
from replicator.postgres import Connection
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Node, NodeFactory
from tests.fixtures.wait import until

SCHEMA = (
    "create table t (id int primary key, v text);"
    " create table c (id int primary key, v text, n bigint not null default 0);"
    " create table h (note text)"
)
FILL = (
    "insert into t select i, 'lead' from generate_series(1, 5) i;"
    " insert into c select i, 'lead', 100 from generate_series(1, 5) i;"
    " insert into h values ('lead')"
)

During = Callable[[Lab, str, Callable[[], None]], None]


@pytest.fixture
def masters(node_factory: NodeFactory) -> list[Node]:
    return [node_factory(f"m{number}", schema=SCHEMA) for number in (1, 2, 3)]


@pytest.fixture
def during(tmp_path: Path) -> Iterator[During]:
    """Joins the second master with the lead, and does something while that is held up at a failpoint."""
    file = tmp_path / "go-on"

    def act(made: Lab, place: str, what: Callable[[], None]) -> None:
        failpoint.arm({failpoint.VARIABLE: f"{place}:wait={file}"})
        errors: list[BaseException] = []

        def join() -> None:
            try:
                made.sync()[0].prepare()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=join)
        thread.start()
        try:
            until(lambda: errors or Path(f"{file}.reached").exists(), 10, f"the join is at {place}")
            what()
        finally:
            file.touch()
            thread.join()
        assert not errors, errors

    yield act
    file.touch()
    failpoint.arm({})


def swap(lab: Build, nodes: list[Node], **options: object) -> Lab:
    return lab(nodes, SyncType.SWAP, ("t", "c", "h"), counters=("n",), **options)


def assert_equal(nodes: list[Node]) -> None:
    for table in ("t", "c", "h"):
        assert all(rows(node, table) == rows(nodes[0], table) for node in nodes[1:]), table


def ledgers(nodes: list[Node]) -> list[tuple[object, ...]]:
    query = (
        "select table_name, key ->> 'id', incoming_row ->> 'v', local_row ->> 'v', incoming_wins from pgherd.conflict"
    )
    return sorted(row for node in nodes for row in node.execute(query))


def test_new_rows_stay_and_travel(masters: list[Node], lab: Build, during: During) -> None:
    masters[0].execute(FILL)
    made = swap(lab, masters)

    def write() -> None:
        masters[1].execute("insert into t values (7, 'here'); insert into c values (7, 'here', 5)")
        masters[1].execute("update c set n = n + 1; insert into h values ('here'), ('lead')")

    during(made, "copy.after-begin", write)
    made.settle()
    for node in masters:
        assert rows(node, "t")[5:] == [("(7,here)",)]
        assert rows(node, "c")[5:] == [("(7,here,6)",)]
        assert rows(node, "h") == [("(here)",), ("(lead)",), ("(lead)",)]
    assert_equal(masters)
    assert ledgers(masters) == []


@pytest.mark.parametrize("strategy", ["latest", "source"])
def test_rows_that_the_lead_has_too_meet_them(masters: list[Node], lab: Build, during: During, strategy: str) -> None:
    masters[0].execute(FILL)
    made = swap(lab, masters, strategy=strategy)

    def write() -> None:
        masters[1].execute("insert into t values (1, 'here'), (2, 'lead'); insert into c values (1, 'here', 5)")
        masters[1].execute("insert into t values (3, 'gone'); delete from t where id = 3")

    during(made, "copy.after-begin", write)
    made.settle()
    assert_equal(masters)
    wins = strategy == "source"
    assert rows(masters[0], "t")[:2] == [("(1,lead)" if wins else "(1,here)",), ("(2,lead)",)]
    assert ("(3,lead)",) in rows(masters[0], "t") if wins else ("(3,lead)",) not in rows(masters[0], "t")
    assert rows(masters[0], "c")[:1] == [("(1,lead,100)" if wins else "(1,here,5)",)]
    noted = [("c", "1", "lead", "here", wins), ("t", "1", "lead", "here", wins), ("t", "3", "lead", None, wins)]
    assert [row for row in ledgers(masters) if row[1] != "2"] == noted


def test_what_is_changed_of_copied_rows_travels(masters: list[Node], lab: Build, during: During) -> None:
    """Also of rows of which the lead's log holds versions, by a clock that is far ahead."""
    made = swap(lab, masters)
    made.sync()[1].prepare()
    made.close()
    masters[0].execute(FILL)
    masters[0].execute("update pgherd.delta_public_t set changed_at = '2100-01-01Z'")

    def write() -> None:
        masters[1].execute("update t set v = 'changed here' where id in (1, 2); delete from t where id = 3")
        masters[1].execute(
            "update c set n = n + 7 where id = 1; update c set v = 'changed here', n = n + 7 where id = 2"
        )

    during(made, "copy.before-end", write)
    made.settle()
    assert_equal(masters)
    for node in masters:
        assert rows(node, "t")[:3] == [('(1,"changed here")',), ('(2,"changed here")',), ("(4,lead)",)]
        assert rows(node, "c")[:2] == [("(1,lead,107)",), ('(2,"changed here",107)',)]
    assert ledgers(masters) == []


def test_both_write_while_one_is_filled(masters: list[Node], lab: Build, during: During) -> None:
    masters[0].execute(FILL)
    made = swap(lab, masters)

    def write() -> None:
        masters[0].execute("update t set v = 'lead, later' where id = 1; update c set n = n + 10")
        masters[1].execute("insert into t values (1, 'here'), (9, 'here')")
        masters[0].execute("insert into t values (9, 'lead'); insert into h values ('lead, later')")
        masters[1].execute("insert into h values ('here')")

    during(made, "copy.after-begin", write)
    made.settle()
    assert_equal(masters)
    assert {row[1] for row in ledgers(masters)} == {"1", "9"}
    assert rows(masters[2], "c") == [(f"({i},lead,110)",) for i in range(1, 6)]


def test_nothing_comes_from_a_table_that_is_being_filled(masters: list[Node], lab: Build, during: During) -> None:
    """What it holds is not yet what the lead's changes made of it; the way back goes on once it is."""
    masters[0].execute(FILL)
    made = swap(lab, masters[:2])

    def write() -> None:
        masters[1].execute("insert into t values (1, 'here'), (7, 'here')")
        made.sync()[1].run()
        assert rows(masters[0], "t") == [(f"({i},lead)",) for i in range(1, 6)]

    during(made, "join.after-way-back", write)
    made.settle()
    assert_equal(masters[:2])
    assert rows(masters[0], "t")[5:] == [("(7,here)",)]
    assert [row[:2] for row in ledgers(masters[:2])] == [("t", "1")]


def test_a_master_that_is_copied_over_keeps_what_is_written_meanwhile(
    masters: list[Node], lab: Build, during: During
) -> None:
    masters[0].execute(FILL)
    masters[1].execute(
        "insert into t values (1, 'old'), (2, 'old'), (8, 'old'); insert into c values (1, 'old', 50), (2, 'old', 50)"
    )
    made = swap(lab, masters[:2], onetimecopy=OneTimeCopy.ALWAYS)

    def write() -> None:
        masters[1].execute("insert into t values (7, 'here'); update t set v = 'here' where id = 2")
        masters[1].execute("update c set n = n + 7 where id = 1; insert into h values ('here')")

    during(made, "copy.after-begin", write)
    made.settle()
    assert_equal(masters[:2])
    there = rows(masters[1], "t")
    assert there[:2] == [("(1,lead)",), ("(2,here)",)]
    assert there[5:] == [("(7,here)",)]
    assert rows(masters[1], "c")[:2] == [("(1,lead,107)",), ("(2,lead,100)",)]
    assert rows(masters[1], "h") == [("(here)",), ("(lead)",)]


def test_a_copy_that_begins_anew_keeps_what_was_done_since_it_broke_off(
    masters: list[Node], lab: Build, during: During
) -> None:
    """Counters, and rows without a key, are compared anew: by then there is more of both than was copied."""
    masters[0].execute(FILL)
    made = swap(lab, masters[:2])
    failpoint.arm({failpoint.VARIABLE: "copy.before-end:lose"})
    with pytest.raises(ConnectionLost, match="failpoint"):
        made.sync()[0].prepare()
    failpoint.arm({})
    masters[0].execute("update c set n = n + 10; insert into h values ('lead')")
    masters[1].execute("update c set n = n + 7 where id = 1; update c set v = 'here', n = n + 7 where id = 2")
    masters[1].execute("insert into h values ('here'); update t set v = 'here' where id = 1")
    made.sync()[1].run()
    made.settle()
    for node in masters[:2]:
        assert rows(node, "t")[:2] == [("(1,here)",), ("(2,lead)",)]
        assert rows(node, "c")[:3] == [("(1,lead,117)",), ("(2,here,117)",), ("(3,lead,110)",)]
        assert rows(node, "h") == [("(here)",), ("(lead)",), ("(lead)",)]


@pytest.mark.parametrize(
    "write", ["insert into t values (1, 'here')", "update t set v = 'here' where id = 1", "delete from t where id = 1"]
)
def test_what_is_written_while_a_range_is_compared_is_found(
    masters: list[Node], lab: Build, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    """Its rows were looked through already; so it is looked through again."""
    masters[0].execute(FILL)
    if not write.startswith("insert"):
        masters[1].execute("insert into t values (1, 'old')")
    masters[1].execute("insert into t values (8, 'old')")
    made = swap(lab, masters[:2], onetimecopy=OneTimeCopy.ALWAYS)
    replace, written = diff.replace_different, [write]

    def write_first(connection: Connection, link: Link, stage: Stage, *args: Any, **options: Any) -> Counts:
        if stage.relation.name.name == "t" and written:
            masters[1].execute(written.pop())
        return replace(connection, link, stage, *args, **options)

    monkeypatch.setattr(diff, "replace_different", write_first)
    made.settle()
    assert written == []
    assert_equal(masters[:2])
    rest = [(f"({i},lead)",) for i in range(2, 6)]
    assert rows(masters[1], "t") == ([] if write.startswith("delete") else [("(1,here)",)]) + rest
    assert [row[:2] for row in ledgers(masters[:2])] == [("t", "1")]


def test_an_empty_lead_that_is_filled_keeps_what_is_written_there(
    masters: list[Node], lab: Build, during: During
) -> None:
    masters[1].execute(FILL)
    made = swap(lab, masters[:2])

    def write() -> None:
        masters[0].execute("insert into t values (1, 'here'), (7, 'here'); insert into h values ('here')")

    during(made, "copy.after-begin:2", write)
    made.settle()
    assert_equal(masters[:2])
    assert rows(masters[1], "t")[0] == ("(1,here)",)
    assert rows(masters[1], "t")[5:] == [("(7,here)",)]
    assert rows(masters[1], "h") == [("(here)",), ("(lead)",)]
    assert [row[:2] for row in ledgers(masters[:2])] == [("t", "1")]


def test_what_is_written_where_tables_were_equal_is_newer_than_what_the_lead_knows(
    masters: list[Node], lab: Build, during: During
) -> None:
    """With the lead's versions, shipped to a third master, come none that what was written there must give way to."""
    made = swap(lab, masters)
    made.sync()[0].prepare()
    masters[0].execute("insert into t values (1, 'both')")
    masters[0].execute("update pgherd.delta_public_t set changed_at = '2100-01-01Z'")
    masters[2].execute("insert into t values (1, 'both')")
    (third,) = (each for each in made.sync() if (each.link.source.name, each.link.target.name) == ("m1", "m3"))
    made.runners["s"].remove(third)
    made.runners["s"].insert(0, third)

    def write() -> None:
        masters[2].execute("update t set v = 'later' where id = 1")

    during(made, "join.before-opening", write)
    made.settle()
    assert_equal(masters)
    assert rows(masters[0], "t") == [("(1,later)",)]

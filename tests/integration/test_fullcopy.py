"""fullcopy: whole tables, key or not, whenever the source changed or somebody kicks."""

from __future__ import annotations

import pytest

from replicator.change import Counts
from replicator.model import CopyMethod, SyncType
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Pair

TABLE = "create table t (id int, v text)"


def full(lab: Build, pair: Pair, **options: object) -> Lab:
    for node in pair:
        node.execute(TABLE)
    pair.source.execute("insert into t values (1, 'a'), (1, 'a'), (2, null)")
    pair.target.execute("insert into t values (1, 'a'), (9, 'only here')")
    made = lab([pair.source, pair.target], SyncType.FULLCOPY, **options)
    made.settle()
    assert rows(pair.target) == rows(pair.source)
    return made


def test_only_differences_are_written(pair: Pair, lab: Build) -> None:
    made = full(lab, pair)
    before = pair.target.execute("select xmin::text, id from t order by 2, 1")
    pair.source.execute("insert into t values (3, 'new')")
    assert made.run() == Counts(inserted=1)
    assert pair.target.execute("select xmin::text, id from t where id <> 3 order by 2, 1") == before
    assert made.run() == Counts()


@pytest.mark.parametrize("method", list(CopyMethod))
def test_every_method_makes_them_equal(nodes: Pair, lab: Build, method: CopyMethod) -> None:
    made = full(lab, nodes, copymethod=method)
    nodes.source.execute("truncate t; insert into t select i, 'x' from generate_series(1, 50) i")
    made.run()
    assert rows(nodes.target) == rows(nodes.source)


def test_many_rows_of_a_table_without_a_key(nodes: Pair, lab: Build) -> None:
    made = full(lab, nodes)
    nodes.source.execute("insert into t select i, 'x' from generate_series(1, 3000) i")
    assert made.run() == Counts(inserted=3000)
    assert rows(nodes.target) == rows(nodes.source)


def test_a_kick_undoes_what_the_target_did(nodes: Pair, lab: Build) -> None:
    made = full(lab, nodes)
    nodes.target.execute("delete from t where id = 2; insert into t values (5, 'mine')")
    assert made.run() == Counts()
    assert made.run(kicked=True) == Counts(inserted=1, deleted=1)
    assert rows(nodes.target) == rows(nodes.source)


def test_a_refused_row_is_parked(nodes: Pair, lab: Build) -> None:
    made = full(lab, nodes)
    nodes.target.execute("alter table t add check (id < 100)")
    nodes.source.execute("insert into t values (100, 'too much'), (4, 'fine')")
    assert made.run() == Counts(inserted=1, parked=1)
    assert nodes.target.value("select new_row ->> 'v' from pgherd.parked") == "too much"


def test_opposite_fullcopies_do_not_echo(nodes: Pair, lab: Build) -> None:
    """As on the how-to's two masters: each has the other as target, and only what an application writes travels."""
    there = full(lab, nodes)
    back = lab([nodes.target, nodes.source], SyncType.FULLCOPY)
    back.settle()
    nodes.source.execute("insert into t values (7, 'x')")
    assert there.run() == Counts(inserted=1)
    assert back.run() == Counts()

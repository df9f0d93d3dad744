"""Hooks on real servers: when they run, what they may do, and that none can stop a link or leave half a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from replicator.errors import HookFailed, HookRetries, HookSkips, HookStops, ReplicatorError
from replicator.hook import Hook, Moment
from replicator.model import SyncType
from tests.fixtures.lab import Build, Lab, rows
from tests.fixtures.nodes import Pair

TABLE = "create table t (id int primary key, v text); create table other (id int primary key)"
NOTE = """
create table said (n int generated always as identity, moment text, info jsonb);
create function note(info jsonb) returns void language sql as
    $$ insert into public.said (moment, info) values (info ->> 'moment', info) $$;
"""
Make = Callable[..., Lab]


@pytest.fixture
def hooked(nodes: Pair, lab: Build) -> Iterator[Make]:
    """Makes a prepared sync with hooks: `hooked(("after_sync", "sql:note"))`. The target has a table of notes."""
    for node in nodes:
        node.execute(TABLE)
    nodes.target.execute(NOTE)

    def make(*hooks: tuple[str, str], type_: SyncType = SyncType.PUSHDELTA, **fields: Any) -> Lab:
        made = tuple(
            Hook(name=f"h{n}", moment=Moment(moment), call=call, **fields) for n, (moment, call) in enumerate(hooks)
        )
        found: Lab = lab(list(nodes), type_, ("t", "other"), hooks=made)
        found.sync()[0].prepare()
        return found

    yield make


def answering(nodes: Pair, name: str, body: str) -> str:
    nodes.target.execute(f"create function {name}(info jsonb) returns jsonb language plpgsql as $$ begin {body} end $$")
    return f"sql:{name}"


def said(nodes: Pair) -> list[str]:
    return [moment for (moment,) in nodes.target.execute("select moment from said order by n")]


def test_every_moment_comes_in_its_turn_and_knows_what_it_is_about(nodes: Pair, hooked: Make) -> None:
    within = [moment for moment in Moment if moment is not Moment.EXCEPTION]
    lab = hooked(*((str(moment), "sql:note") for moment in within))
    nodes.source.execute("insert into t values (1, 'a'), (2, 'b'); insert into other values (1)")
    lab.run()
    assert said(nodes) == [
        "before_sync",
        "before_check_rows",
        "before_txn",
        "before_rows",
        "after_table_sync",
        "after_table_sync",
        "after_rows",
        "after_txn",
        "after_sync",
    ]
    (info,) = nodes.target.execute("select info from said where moment = 'after_table_sync' order by n limit 1")[0]
    assert (info["sync"], info["source"], info["target"], info["tables"]) == ("s", "source", "target", ["public.t"])
    assert info["counts"]["inserted"] == 2
    assert nodes.target.value("select info #>> '{counts,inserted}' from said where moment = 'after_sync'") == "3"


def test_a_run_without_changes_has_no_batch(nodes: Pair, hooked: Make) -> None:
    lab = hooked(("before_txn", "sql:note"), ("after_rows", "sql:note"), ("after_sync", "sql:note"))
    lab.run()
    assert said(nodes) == ["after_sync"]


def test_a_hook_of_one_table_leaves_batches_of_others_alone(nodes: Pair, hooked: Make) -> None:
    lab = hooked(("after_table_sync", "sql:note"), tables=("public.other",))
    nodes.source.execute("insert into t values (1, 'a')")
    lab.run()
    assert said(nodes) == []
    nodes.source.execute("insert into other values (1); insert into t values (2, '')")
    lab.run()
    assert said(nodes) == ["after_table_sync"]


@pytest.mark.parametrize("moment", ["before_rows", "after_table_sync", "after_rows"])
def test_what_fails_within_a_batch_leaves_nothing_of_it(nodes: Pair, hooked: Make, moment: str) -> None:
    bad = answering(nodes, "bad", "if info ->> 'tables' like '%t%' then raise exception 'no, said the hook'; end if;")
    lab = hooked((moment, "sql:note"), (moment, bad))
    nodes.source.execute("insert into t values (1, 'a')")
    with pytest.raises(HookFailed, match=rf"s: source -> target: hook h1 \({moment}\): bad: no, said the hook"):
        lab.run()
    assert rows(nodes.target) == []
    assert said(nodes) == [], "what hooks wrote in the batch is taken back with it"
    nodes.target.execute(
        "create or replace function bad(info jsonb) returns jsonb language sql as 'select null::jsonb'"
    )
    lab.sync()[0].close()
    lab.settle()
    assert rows(nodes.target) == [("(1,a)",)]


def test_a_function_that_does_not_return_is_ended(nodes: Pair, hooked: Make) -> None:
    slow = answering(nodes, "slow", "perform pg_sleep(60); return null;")
    lab = hooked(("after_rows", slow), seconds=0.2)
    nodes.source.execute("insert into t values (1, 'a')")
    with pytest.raises(HookFailed, match=r"slow did not return within 0\.2 seconds"):
        lab.run()
    assert rows(nodes.target) == []


@pytest.mark.parametrize(
    ("word", "error"),
    [("skip", HookSkips), ("endsync", HookSkips), ("stop", HookStops), ("error", HookFailed), ("typo", HookFailed)],
)
def test_what_it_answers_is_heeded(nodes: Pair, hooked: Make, word: str, error: type[ReplicatorError]) -> None:
    call = answering(nodes, "answer", f"return jsonb_build_object('{word}', 'because');")
    lab = hooked(("after_rows", call))
    nodes.source.execute("insert into t values (1, 'a')")
    with pytest.raises(error, match="because"):
        lab.run()
    assert rows(nodes.target) == []


def test_a_retry_is_made_at_once_and_not_for_ever(nodes: Pair, hooked: Make) -> None:
    nodes.target.execute("create sequence tries")  # counts what is rolled back, too
    call = answering(
        nodes, "again", "return case when nextval('public.tries') < 3 then '{\"retry\": true}'::jsonb end;"
    )
    lab = hooked(("before_rows", call))
    nodes.source.execute("insert into t values (1, 'a')")
    assert lab.run().inserted == 1
    assert nodes.target.value("select last_value from tries") == 3
    nodes.target.execute(
        "create or replace function again(info jsonb) returns jsonb language sql as"
        " $$ select jsonb_build_object('runagain', nextval('public.tries')) $$"
    )
    nodes.source.execute("insert into t values (2, 'b')")
    with pytest.raises(HookRetries):
        lab.run()


def test_what_goes_wrong_after_the_commit_does_not_unsay_it(nodes: Pair, hooked: Make) -> None:
    bad = answering(nodes, "bad", "raise exception 'too late';")
    lab = hooked(("after_txn", bad), ("after_sync", "sql:note"))
    nodes.source.execute("insert into t values (1, 'a')")
    result = lab.sync()[0].run()
    assert result.counts.inserted == 1
    assert isinstance(result.trouble, HookFailed)
    assert rows(nodes.target) == [("(1,a)",)]


def test_an_exception_hook_hears_of_it_and_may_mend_it(nodes: Pair, hooked: Make) -> None:
    mend = answering(
        nodes,
        "mend",
        "insert into public.said (moment, info) values (info ->> 'kind', info);"
        " alter table public.t add column if not exists extra int; drop function if exists public.bad(jsonb);"
        " create function public.bad(info jsonb) returns void language sql as 'select null';"
        ' return \'{"retry": "mended"}\';',
    )
    bad = answering(nodes, "bad", "raise exception 'broken';")
    lab = hooked(("before_rows", bad), ("exception", mend))
    nodes.source.execute("insert into t values (1, 'a')")
    lab.run()
    assert said(nodes) == ["HookFailed"]
    assert "broken" in nodes.target.value("select info ->> 'error' from said")
    assert nodes.target.value("select v from t where id = 1") == "a"


def test_functions_in_python(nodes: Pair, hooked: Make, tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(
        "import json, pathlib, time\n"
        f"seen = pathlib.Path({str(tmp_path / 'seen')!r})\n"
        "def note(info):\n"
        "    print('not an answer')\n"
        "    seen.write_text(json.dumps(info))\n"
        "    return {'message': 'seen'}\n"
        "def wrong(info):\n"
        "    raise KeyError('mine')\n"
        "def stuck(info):\n"
        "    time.sleep(60)\n"
    )
    lab = hooked(("after_rows", f"python:{code}:note"))
    nodes.source.execute("insert into t values (1, 'a')")
    lab.run()
    assert '"moment": "after_rows"' in (tmp_path / "seen").read_text()
    for function, why in (("wrong", "KeyError: 'mine'"), ("stuck", "did not return within 0.3 seconds")):
        bad = hooked(("after_rows", f"python:{code}:{function}"), seconds=0.3 if function == "stuck" else 30)
        nodes.source.execute("update t set v = v || 'x'")
        with pytest.raises(HookFailed, match=why):
            bad.run()
        bad.close()
    assert rows(nodes.target) == [("(1,a)",)]

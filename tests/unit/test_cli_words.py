"""The words of the command line: nouns, options, durations, names, password file entries, aligned text; all pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from replicator.cli import hoisted, main, output
from replicator.cli.output import aligned
from replicator.cli.passwords import with_entry
from replicator.cli.tables import extended, is_pattern, matching, reduced
from replicator.cli.values import duration, names, pairs, table_names
from replicator.cli.words import noun, spell
from replicator.errors import NotFound, UsageError
from replicator.model import Database, Herd, SyncType, TableName


@pytest.mark.parametrize("word", ["db", "dbs", "database", "databases"])
def test_a_noun_has_many_forms(word: str):
    assert noun(word, ["db", "dbgroup"]) == "db"
    assert noun(word, ["dbs", "dbgroups"]) == "dbs"


def test_bucardos_nouns_are_understood():
    assert noun("relgroups", ["db", "herd"]) == "herd"
    assert noun("group", ["db", "dbgroup"]) == "dbgroup"
    assert noun("nonsense", ["db"]) == "nonsense"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("alpha type=pushdelta", "alpha --type=pushdelta"),
        ("targetdb=slave targetgroup=g", "--target=slave --target=g"),
        ("--targetdb slave", "--target slave"),
        ("standard_conflict=latest", "--strategy=latest"),
        ("makedelta=yes ping=off", "--makedelta --no-autokick"),
        ("--makedelta=0", "--no-makedelta"),
        ("--no-autokick", "--no-autokick"),
        ("herd=alpha", "--source=alpha"),
        ("sslmode=require", "sslmode=require"),
        ("makedelta=maybe", "makedelta=maybe"),
        ("--nonsense=1 --type", "--nonsense=1 --type"),
        ("-W name", "-W name"),
    ],
)
def test_options_may_be_written_as_bucardo_writes_them(typed: str, meant: str):
    valued = {"type", "target", "strategy", "source"}
    assert list(spell(typed.split(), {"makedelta", "autokick"}, valued)) == meant.split()


def test_a_name_that_the_command_has_itself_is_not_translated():
    assert list(spell(["herd=alpha"], (), {"herd"})) == ["--herd=alpha"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("30s", 30),
        ("1.5s", 1.5),
        ("5m", 300),
        ("5 minutes", 300),
        ("1h30m", 5400),
        ("1 day 2 hours", 93600),
        ("2 hrs", 7200),
        ("00:01:30", 90),
    ],
)
def test_durations(text: str, seconds: float):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["none", "0", "0s", "00:00:00", "never"])
def test_no_duration(text: str):
    assert duration(text) is None


@pytest.mark.parametrize("text", ["soon", "-5s", "5 parsecs", "1h-30m", "s"])
def test_what_is_no_duration_is_told(text: str):
    with pytest.raises(UsageError, match="is not a duration; write for example 30s"):
        duration(text)


def test_table_names():
    assert table_names(["a", 'S.b,"x.y"."c,d"', "e"]) == (
        TableName("public", "a"),
        TableName("S", "b"),
        TableName("x.y", "c,d"),
        TableName("public", "e"),
    )
    for bad in ("", "a.b.c", '"open'):
        with pytest.raises(UsageError, match="is not a table's name"):
            table_names([bad])


def test_names_and_pairs():
    assert names(["a,b", " c ", "a"]) == ("a", "b", "c")
    assert pairs(["sslmode=require", "options=-c x=1"]) == {"sslmode": "require", "options": "-c x=1"}
    for bad in ("sslmode", "=x"):
        with pytest.raises(UsageError, match="is not an option; write key=value"):
            pairs([bad])


def test_patterns_match_with_and_without_schema():
    have = [TableName("public", "pgbench_tellers"), TableName("S", "pgbench_x"), TableName("S", "other")]
    assert matching(have, ["pgbench_*"]) == have[:2]
    assert matching(have, ["pgbench%"]) == have[:2]
    assert matching(have, ["S.*"]) == have[1:]
    assert matching(have, ["?ther", "public.*"]) == [have[0], have[2]]
    assert matching(have, []) == []
    assert [is_pattern(word) for word in ("a*", "a%", "a", '"a*"')] == [True, True, False, False]


def test_members_keep_their_order():
    a, b, c = (TableName("public", name) for name in "abc")
    herd = Herd(name="h", database="d", tables=(a, b), sequences=(c,))
    assert extended(herd, "table", (b, c)).tables == (a, b, c)
    assert extended(herd, "sequence", (a,)).sequences == (c, a)
    assert reduced(herd, "table", (a,)).tables == (b,)
    assert reduced(herd, "table", (c,), strict=False) == herd
    with pytest.raises(NotFound, match=r"herd h lists no table public\.c"):
        reduced(herd, "table", (c,))


def test_a_password_entry_replaces_its_namesake_and_stands_first():
    database = Database(name="m", dbname="a:b", host="h", port=5432, user="u")
    before = "*:*:*:*:wide\nh:5432:a\\:b:u:old\n"
    assert with_entry(before, database, "p:w\\d") == "h:5432:a\\:b:u:p\\:w\\\\d\n*:*:*:*:wide\n"
    assert with_entry("", Database(name="m", dbname="d"), "x") == "localhost:5432:d:bucardo:x\n"


def test_aligned_text():
    assert aligned([["Name", "Type"], ["a", "b"]]) == ["Name  Type", "a     b"]


@dataclass(frozen=True)
class Sample:
    table: TableName
    at: datetime
    took: timedelta


def test_json_has_plain_values(capsys):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    output.dump([Sample(TableName("S", "a b"), at, timedelta(minutes=1)), SyncType.SWAP])
    assert json.loads(capsys.readouterr().out) == [
        {"table": 'S."a b"', "at": "2026-01-01T00:00:00+00:00", "took": 60.0},
        "swap",
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("frob", "No such command 'frob'."),
        ("--frob", "No such option: --frob"),
        ("list", "say what to list: dbs, dbgroups, herds, tables, sequences, syncs, hooks, leftovers."),
        ("add sync", "Missing argument 'NAME'."),
        ("add sync s", "Missing option '--type'. Choose from: pushdelta, fullcopy, swap"),
        (
            "add sync s --type magic",
            "Invalid value for '--type': 'magic' is not one of 'pushdelta', 'fullcopy', 'swap'.",
        ),
        ("list dbs --config=/nowhere", "/nowhere: there is no such configuration file."),
        ("--config /nowhere list dbs", "/nowhere: there is no such configuration file."),
    ],
)
def test_a_wrong_line_gets_one_sentence_and_code_2(line: str, error: str, capsys):
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"replicator: {error}\n"


def test_global_options_may_stand_anywhere():
    assert hoisted(["list", "--config", "f", "dbs", "--debug"]) == ["--config", "f", "--debug", "list", "dbs"]
    assert hoisted(["list", "--config=f", "--", "--debug"]) == ["--config=f", "list", "--", "--debug"]
    assert hoisted(["list", "--config"]) == ["--config", "list"]


def test_help_and_version_cost_no_driver(capsys):
    for line in ("", "--help", "--version", "add --help", "list syncs --help"):
        assert main(line.split()) == 0
    assert "Keep chosen tables" in capsys.readouterr().out


def test_debug_shows_the_traceback(capsys):
    assert main(["--debug", "--config", "/nowhere", "list", "dbs"]) == 2
    assert "Traceback" in capsys.readouterr().err

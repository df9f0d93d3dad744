"""Bucardo 4.5's command line taken apart: words, pairs, options in every spelling; what it refuses."""

from __future__ import annotations

import shlex

import pytest

from replicator.bucardo import VERBS, grammar, main, naming, nouns, rcfile
from replicator.bucardo.commands import help as pages
from replicator.bucardo.grammar import Line, parse
from replicator.errors import ConfigError, NotFound, UsageError
from replicator.model import Sync, SyncType


def line(text: str) -> Line:
    return parse(shlex.split(text))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("list", Line("list")),
        ("LIST db a b", Line("list", ("db", "a", "b"))),
        ("add sync s type=swap Source=h", Line("add", ("sync", "s"), {"type": "swap", "source": "h"})),
        ("set a=b=c", Line("set", pairs={"a": "b=c"})),
        ("add db x pass=", Line("add", ("db", "x"), {"pass": ""})),
        ("kick s 10", Line("kick", ("s", "10"))),
        ("add all tables --herd=h", Line("add", ("all", "tables"), options={"herd": "h"})),
        ("add all tables -herd h", Line("add", ("all", "tables"), options={"herd": "h"})),
        ("add all tables --her=h", Line("add", ("all", "tables"), options={"herd": "h"})),
        ("add all tables -T a -T b,c -t d", Line("add", ("all", "tables"), lists={"T": ("a", "b", "c"), "t": ("d",)})),
        ("add all tables -n=s -N x", Line("add", ("all", "tables"), lists={"n": ("s",), "N": ("x",)})),
        ("add x --type=swap", Line("add", ("x",), {"type": "swap"})),
        ("status --sort=-3 --daysback 7", Line("status", options={"sort": "-3", "daysback": "7"})),
        ("list -verbose", Line("list", switches={"verbose": True}, verbosity=1)),
        ("list --verb", Line("list", switches={"verbose": True}, verbosity=1)),
        ("list -v -v", Line("list", switches={"verbose": True}, verbosity=2)),
        ("list -vv", Line("list", switches={"vv": True}, verbosity=2)),
        ("kick s --notimer", Line("kick", ("s",), switches={"notimer": True})),
        ("start --nosendmail", Line("start", switches={"sendmail": False})),
        ("start --no-sendmail --debugfile=1", Line("start", switches={"sendmail": False, "debugfile": True})),
        ("start --debugsyslog=0", Line("start", switches={"debugsyslog": False})),
        ("list --no-bucardorc", Line("list", switches={"no-bucardorc": True})),
        ("--dbname=b list", Line("list", options={"dbname": "b"})),
        ("message -- --not-an-option", Line("message", ("--not-an-option",))),
        ("", Line()),
    ],
)
def test_a_line_is_taken_apart(typed: str, meant: Line):
    assert line(typed) == meant


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("list --nonsense", "Unknown option: nonsense"),
        ("list -x", "Unknown option: x"),
        ("list --dbport=five", 'Value "five" invalid for option dbport'),
        ("list --dbname", "Option dbname requires an argument"),
        ("add all tables -T", "Option T requires an argument"),
        ("list --de", "ambiguous (debug, debugdir"),
        ("list --verbose=maybe", "takes 0 or 1, not 'maybe'"),
        ("add db x port=1 port=2", "port is given twice, as '1' and as '2'"),
    ],
)
def test_what_is_no_line_is_refused_by_name(typed: str, complaint: str):
    with pytest.raises(UsageError) as refused:
        line(typed)
    assert complaint in str(refused.value)


@pytest.mark.parametrize("word", ["db", "dbs", "database", "databases", "DB"])
def test_a_noun_is_one_in_every_spelling(word: str):
    assert nouns.noun(word) == "db"


def test_every_noun_has_a_plural_and_strangers_are_none():
    for noun, forms in nouns.SPELLINGS.items():
        assert all(nouns.noun(form + ending) == noun for form in forms for ending in ("", "s")), noun
    assert nouns.noun("tables") == "table" and nouns.noun("sequences") == "sequence"
    assert nouns.noun("s") is None and nouns.noun("goat") is None


def test_a_wildcard_stands_for_any_text():
    assert nouns.fits("A*", ["Ab"]) and nouns.fits("*A", ["bA"]) and nouns.fits("%", ["x"])
    assert not nouns.fits("A*", ["bA"]) and not nouns.fits("a.c", ["abc"])


def sync(name: str, kind: SyncType, paused: bool = False) -> Sync:
    return Sync(name=name, type=kind, herd="h", targets=("t",), paused=paused)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("ac bd", ["ac", "bd"]),
        ("a%", ["ac", "as"]),
        ("*d as", ["bd", "as"]),
        ("all", ["ac", "as", "bd"]),
        ("all copy", ["ac"]),
        ("all delta swap", ["as", "bd"]),
        ("all active", ["ac", "bd"]),
    ],
)
def test_syncs_are_named_singly_by_pattern_or_by_type(words: str, names: list[str]):
    known = [sync("ac", SyncType.FULLCOPY), sync("as", SyncType.SWAP, paused=True), sync("bd", SyncType.PUSHDELTA)]
    assert [found.name for found in naming.chosen(known, words.split())] == names


@pytest.mark.parametrize("words", [["nobody"], ["x*"], ["all", "everything"]])
def test_syncs_that_are_not_there_are_named(words: list[str]):
    with pytest.raises(NotFound, match=words[-1].replace("*", r"\*")):
        naming.chosen([sync("a", SyncType.SWAP)], words)


def test_seconds_stand_behind_names_only():
    assert naming.with_seconds(["a", "10"]) == (("a",), 10.0)
    assert naming.with_seconds(["a", "0"]) == (("a",), 0.0)
    assert naming.with_seconds(["10"]) == (("10",), None)
    assert naming.with_seconds(["a"]) == (("a",), None)


def test_the_first_file_found_is_read_and_no_other(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home, here):
        folder.mkdir()
        (folder / ".bucardorc").write_text(f"# comment\ndbhost = {folder.name} # part of it\n\nDBNAME:b\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    assert rcfile.read(line("list")) == {"dbhost": "here # part of it", "dbname": "b"}
    (here / ".bucardorc").unlink()
    assert rcfile.read(line("list"))["dbhost"] == "home # part of it"
    assert rcfile.read(line("list --no-bucardorc")) == {}
    (here / "other").write_text("dbport=1\n")
    assert rcfile.read(line("list --bucardorc=other")) == {"dbport": "1"}


def test_a_file_that_cannot_be_read_is_named_with_its_line(tmp_path):
    path = tmp_path / "rc"
    path.write_text("dbhost=a\nnonsense\n")
    with pytest.raises(ConfigError, match="rc, line 2: expected name=value"):
        rcfile.read(line(f"list --bucardorc={path}"))
    with pytest.raises(ConfigError, match="Could not find"):
        rcfile.read(line("list --bucardorc=/nowhere"))


def test_every_verb_has_a_page(capsys):
    for verb in VERBS:
        assert main(["help", verb]) == 0, verb
    assert main(["help", "list", "dbs"]) == 0
    assert main([]) == 0
    assert main(["help", "nonsense"]) == 1
    assert 'Unknown action: "nonsense"' in capsys.readouterr().out
    assert set(pages.PAGES) >= {verb for verb in VERBS if verb != "config"} - {"help"}


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("frobnicate", 'Unknown action: "frobnicate"'),
        ("list trees", "Unknown type to list: trees"),
        ("add", "Usage: add <type>"),
        ("add db", "Usage: add db NAME"),
        ("add all trees", "Usage: add all tables|sequences"),
        ("kick", "Usage: kick SYNC"),
        ("remove sync", "Usage: remove sync NAME"),
        ("reload", "Usage: reload SYNC"),
        ("ping soon", "Usage: ping"),
        ("message", "Usage: message TEXT"),
        ("--nonsense", "Unknown option: nonsense"),
    ],
)
def test_a_line_that_cannot_be_is_refused_before_anything_is_asked(typed: str, complaint: str, capsys):
    assert main(typed.split()) == 1
    assert complaint in capsys.readouterr().err


def test_version_and_usage(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "bucardo_ctl version 4.5.0\n"
    assert main(["list"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "Usage: list <type> [options]"


def test_options_are_told_from_each_other():
    known = (*grammar.SWITCHES, *grammar.VALUED)
    assert len(set(known)) == len(known)
    assert all(grammar.option(name) == name for name in known)

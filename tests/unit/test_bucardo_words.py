"""What `bucardo_ctl` prints and takes: settings, options of syncs, times; and mails, handed to a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from replicator import bucardo_logs, bucardo_titles, habits, mail
from replicator.bucardo import standing, syncs
from replicator.bucardo.commands import add_all, add_db, show, status
from replicator.bucardo.grammar import parse
from replicator.catalog import RunRecord
from replicator.change import Counts
from replicator.errors import UsageError
from replicator.habits import SETTINGS, Habits, Rhythm, checked
from replicator.master.customs import Customs
from replicator.master.post import failure
from replicator.model import CopyMethod, Database, Install, Link, OneTimeCopy, Sync, SyncType, TableName
from tests.fixtures.smtp import Smtp, serving

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def test_there_are_forty_settings_and_defaults_are_allowed():
    assert len(SETTINGS) == 40
    for name, setting in SETTINGS.items():
        if name != "bucardo_version":
            assert checked(name, setting.default) == name


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("foo", "bar", "Unknown setting: foo"),
        ("log_showpid", "2", "expected 0 or 1"),
        ("mcp_loop_sleep", "fast", "expected a number of seconds"),
        ("kid_abort_limit", "-1", "expected a whole number"),
        ("piddir", "run", "where pid files"),
        ("host_safety_check", "(", "host_safety_check"),
        ("bucardo_version", "5", "cannot be changed"),
        ("autosync_ddl", "all", "expected newcol or none"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name: str, value: str, complaint: str):
    with pytest.raises(UsageError) as refused:
        checked(name, value)
    assert complaint in str(refused.value)


def test_settings_are_shown_sorted_with_equal_signs_below_each_other():
    lines = show.shown(Habits({"piddir": "/x"}), list(SETTINGS))
    assert lines == sorted(lines) and len({line.index("=") for line in lines}) == 1
    assert "piddir                    = /x" in lines
    explained = show.shown(Habits(), ["audit_pid", "piddir"], idle=True)
    assert "no effect here" in explained[0] and "pid files" in explained[1]


def test_settings_set_the_pace_and_only_those_that_were_set():
    assert Habits().rhythm == Rhythm() and not Habits()
    changed = Habits({"ctl_nothingfound_sleep": "1.5", "mcp_dbproblem_sleep": "30", "tcp_keepalives_idle": "7"})
    assert changed.rhythm == Rhythm(late=1.5, last_retry=30.0)
    assert changed.keepalives == {"keepalives_idle": "7"}


def test_files_lie_in_piddir_unless_they_are_whole_paths():
    found = Habits({"piddir": "/run/b", "warning_file": "/var/log/w"})
    assert found.file("stopfile") == Path("/run/b/fullstopbucardo")
    assert found.file("warning_file") == Path("/var/log/w")
    assert found.kid_pid("s", "d") == Path("/run/b/bucardo.kid.sync.s.d.pid")


def test_options_of_a_sync_are_read_or_kept():
    fields, kept = syncs.split(
        {
            **{"type": "fullcopy", "onetimecopy": "2", "deletemethod": "truncate", "checktime": "10 minutes"},
            **{"ping": "no", "makedelta": "1", "status": "inactive", "priority": "3", "overdue": "1 hour"},
            "stayalive": "no",
        }
    )
    assert fields == {
        "onetimecopy": OneTimeCopy.EMPTY,
        "copymethod": CopyMethod.TRUNCATE,
        "checktime": timedelta(minutes=10),
        "autokick": False,
        "makedelta": True,
        "paused": True,
    }
    assert kept == {"priority": "3", "overdue": "01:00:00", "stayalive": "no"}


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("nonsense=1", 'Unknown option for a sync: "nonsense"'),
        ("onetimecopy=3", "one of 0, 1, 2"),
        ("ping=perhaps", "yes or no"),
        ("deletemethod=burn", "delete, truncate"),
        ("priority=high", "a number"),
        ("checktime=often", "not a duration"),
        ("status=gone", "active, inactive"),
    ],
)
def test_options_of_a_sync_that_cannot_be_are_refused(typed: str, complaint: str):
    name, _, value = typed.partition("=")
    with pytest.raises(UsageError) as refused:
        syncs.split({name: value})
    assert complaint in str(refused.value)


def test_a_database_is_read_from_pairs():
    found = add_db.made("test1", {"name": "m", "port": "5433", "conn": "sslmode=require", "service": "s"})
    assert found == Database(
        name="m", dbname="test1", port=5433, options={"sslmode": "require", "service": "s"}, user="bucardo"
    )
    for pairs in ({"port": "x"}, {"status": "gone"}, {"conn": "nonsense"}):
        with pytest.raises(UsageError):
            add_db.made("test1", pairs)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("-T pgbench_history", ["public.a", "other.a", "public.b"]),
        ("-t pgbench_history", ["public.pgbench_history"]),
        ("-n other", ["other.a"]),
        ("-N public", ["other.a"]),
        ("-t a -N other", ["public.a"]),
        ("-t 'pgbench_*' -t public.b", ["public.b", "public.pgbench_history"]),
    ],
)
def test_all_tables_are_chosen_by_schema_and_name(options: str, names: list[str]):
    there = [TableName(*text.split(".")) for text in ("public.a", "other.a", "public.b", "public.pgbench_history")]
    found = add_all.wanted(parse(options.replace("'", "").split()), there)
    assert [str(name) for name in found] == names


@pytest.mark.parametrize(
    ("seconds", "options", "text"),
    [
        (0, {}, "0s"),
        (61, {}, "1m1s"),
        (70269, {}, "19h31m9s"),
        (69153, {"spaced": True}, "19h 12m 33s"),
        (90061, {}, "25h1m1s"),
        (90061, {"days": True}, "1d1h1m1s"),
        (70269, {"compress": True}, "19h"),
    ],
)
def test_times_since_are_short(seconds: int, options: dict[str, bool], text: str):
    assert standing.ago(timedelta(seconds=seconds), **options) == text


def test_the_table_of_status_is_ruled_and_can_be_sorted():
    lines = standing.table(["Name", "T"], [["a", " P"], ["longer", " F O!"]])
    assert lines == ["Name   T", "======+=====", "a     | P   |", "longer| F O!|"]
    rows = [["b", "1"], ["a", "2"]]
    assert status.ordered(rows, "1") == [["a", "2"], ["b", "1"]]
    assert status.ordered(rows, "-2") == [["a", "2"], ["b", "1"]]
    with pytest.raises(UsageError, match="1 to 9"):
        status.ordered(rows, "10")


def link(kind: SyncType, source: str = "a", target: str = "b") -> Link:
    made = Sync(name="s", type=kind, herd="h", targets=("b",))
    ends = [Database(name=name, dbname="x") for name in (source, target)]
    return Link(install=Install(), sync=made, source=ends[0], target=ends[1], lead="a", tables=())


def test_titles_are_bucardos():
    both = [link(SyncType.SWAP), link(SyncType.SWAP, "b", "a")]
    assert bucardo_titles.controller(both[0].sync, both) == (
        'Bucardo Controller. Sync "s" (swap) for source "h"; Bucardo Kid. Sync "s": (swap) "a" -> "b"'
    )
    title = "Bucardo Master Control Program v4.5.0. Active syncs: a, b"
    assert Customs(Habits({"piddir": "/x"})).title("own", ["b", "a"]) == title
    assert Customs(Habits()).title("own", ["b", "a"]) == "own"


def test_pid_files_come_and_go_with_their_processes(tmp_path):
    customs = Customs(Habits({"piddir": str(tmp_path)}))
    (tmp_path / "fullstopbucardo").touch()
    customs.begin()
    assert not customs.called_off()
    customs.tend({"s": 7}, {"s": ("d",)})
    names = ["bucardo.ctl.sync.s.pid", "bucardo.kid.sync.s.d.pid", "bucardo.mcp.pid"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / names[1]).read_text() == "7\n"
    customs.tend({}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["bucardo.mcp.pid"]
    (tmp_path / "fullstopbucardo").touch()
    assert customs.called_off()
    customs.end()
    assert [path.name for path in tmp_path.iterdir()] == ["fullstopbucardo"]


@pytest.mark.parametrize(
    ("how", "form"),
    [("0", r""), ("1", r"\[\d+\]"), ("2", r"\[Thu Jan 01 00:00:00 2026\]"), ("3", r"\[.* 20\d\d\]")],
)
def test_log_lines_show_the_time_as_set(how: str, form: str):
    import re

    assert re.fullmatch(form, bucardo_logs.shown_time(how, T0.timestamp()))


@pytest.fixture
def server() -> Iterator[Smtp]:
    with serving() as made:
        yield made


def settings(server: Smtp, **more: str) -> Habits:
    host = f"127.0.0.1:{server.server_address[1]}"
    return Habits(
        {"default_email_host": host, "default_email_to": "admin@x.org", "default_email_from": "b@x.org", **more}
    )


def test_a_failure_is_mailed_without_its_password(server: Smtp, tmp_path):
    run = RunRecord(
        id=1,
        sync="s",
        source="a",
        target="b",
        started_at=T0,
        finished_at=T0,
        counts=Counts(),
        error="password=hunter2 bad",
    )
    found = settings(server, email_debug_file=str(tmp_path / "mails"))
    assert mail.send(found, *failure(run, "host"))
    (text,) = server.mails
    assert 'Subject: Bucardo sync "s" failed on host' in text and "To: admin@x.org" in text and "From: b@x.org" in text
    assert "hunter2" not in text and "password=***" in text
    assert "mail FROM:<b@x.org>" in " ".join(server.commands)
    assert 'sync "s" failed' in (tmp_path / "mails").read_text()


def test_nobody_is_written_to_unless_somebody_is_named(server: Smtp):
    assert not mail.send(settings(server, default_email_to=habits.NOBODY), "subject", "text")
    assert server.mails == []


def test_a_mail_server_that_is_away_does_no_harm(caplog):
    away = Habits({"default_email_host": "127.0.0.1:1", "default_email_to": "admin@x.org"})
    assert not mail.send(away, "subject", "text")

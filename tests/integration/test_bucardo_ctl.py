"""Commands and options of `bucardo_ctl` that the how-to does not show, on real servers, without a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicator.model import CopyMethod, OneTimeCopy, SyncType, TableName
from tests.fixtures.bucardo import Ctl
from tests.fixtures.nodes import Node, NodeFactory

SCHEMA = """
create schema other;
create table public.a (id int primary key, other_id int);
create table public.b (x int, y text, primary key (x, y), a_id int references a);
create table other.a (id bigint primary key);
create table public.log (line text);
create sequence public.seq;
"""


@pytest.fixture
def master(node_factory: NodeFactory) -> Node:
    return node_factory("master", schema=SCHEMA)


@pytest.fixture
def slave(node_factory: NodeFactory) -> Node:
    return node_factory("slave", schema=SCHEMA)


@pytest.fixture
def two(ctl: Ctl, master: Node, slave: Node) -> Ctl:
    """Both databases are known."""
    ctl.add_db(master)
    ctl.add_db(slave)
    return ctl


def test_a_database_that_cannot_be_is_not_added(ctl: Ctl, master: Node, tmp_path: Path):
    port = master.database.port
    assert "(no dash)" in ctl(f"add db x-y port={port}", 1)
    assert 'Unknown option for a db: "colour"' in ctl("add db x colour=blue", 1)
    assert 'Invalid port: "x"' in ctl("add db x port=x", 1)
    assert "does not answer" in ctl("add db x host=127.0.0.1 port=1 pass=hunter2", 1)
    assert not (tmp_path / "passwords").exists(), "nothing is half done"
    assert ctl("list dbs", 1) == "There are no entries in the 'db' table.\n"
    assert 'Added database "x"' in ctl("add db x host=127.0.0.1 port=1 status=inactive")
    assert "Status: inactive" in ctl("list db x")
    assert 'the database "x" already exists' in ctl("add db x port=1 status=inactive", 1)


def test_a_password_goes_into_the_password_file_and_nowhere_else(ctl: Ctl, master: Node, tmp_path: Path):
    printed = ctl.add_db(master, "pass=hunter2")
    assert "can be read by others" in printed and "hunter2" not in printed + ctl("list dbs -vv")
    assert "hunter2" in (tmp_path / "passwords").read_text()
    assert (tmp_path / "passwords").stat().st_mode & 0o777 == 0o600


def test_groups(ctl: Ctl, master: Node, slave: Node):
    printed = ctl.add_db(master, "group=g")
    assert printed.splitlines() == [
        'Added database "master"',
        'Added new database group "g"',
        'Added database "master" to group "g"',
    ]
    ctl.add_db(slave)
    assert ctl("update dbgroup g add slave") == 'Added database "slave" to group "g"\n'
    assert 'already in group "g"' in ctl("update dbgroup g add slave", 1)
    assert ctl("list dbgroups") == "Database group: g  Members: master, slave\n"
    assert ctl("update dbgroup g remove master") == 'Removed database "master" from group "g"\n'
    assert 'is not in group "g"' in ctl("update dbgroup g remove master", 1)
    assert "No such database" in ctl("add dbgroup h nobody", 1)
    assert "still used by dbgroup g" in ctl("remove db slave", 1)
    assert ctl("delete dbgroup g") == 'Removed database group "g"\n'
    assert ctl("remove db '*'") == 'Removed database "master"\nRemoved database "slave"\n'
    assert ctl("list dbs x", 1) == "There are no matching entries in the 'db' table.\n"


def test_tables_and_herds(two: Ctl):
    assert two("add all tables db=master -N other") == "New tables added: 3\nAlready added: 0\n"
    assert two("add all tables db=master") == "New tables added: 1\nAlready added: 3\n"
    assert two("list tables") == (
        "Table: other.a     DB: master  PK: id (int8)\n"
        "Table: public.a    DB: master  PK: id (int4)\n"
        "Table: public.b    DB: master  PK: x|y (int4|text)\n"
        "Table: public.log  DB: master  PK: none\n"
    )
    assert two("add all sequences db=master herd=h").splitlines()[:2] == ["Creating herd: h", "New sequences added: 1"]
    assert two("list sequences -v") == "Sequence: public.seq  DB: master\n"
    assert 'Added herd "k"' in two("add herd k public.a b")
    assert two("list herds k") == "Herd: k  DB: master  Members: public.a, public.b\n"
    assert "No such table or sequence" in two("add herd l nothing db=master", 1)
    assert 'No such table in database "master": nothing' in two("add table nothing db=master", 1)
    assert "is known already" in two("add table a db=master", 1)
    assert "Say which database" in two("add table a", 1)
    assert "must be one of source, target" in two("add table log db=slave standard_conflict=loudest", 1)
    assert 'Removed table "public.a"' in two("remove table public.a")
    assert two("list herds k") == "Herd: k  DB: master  Members: public.b\n"
    assert 'Added table "public.a" to herd "k"' in two("update herd k add public.a")
    assert 'Removed table "public.b" from herd "k"' in two("update herd k remove b")
    assert "Warning: herd k does not hold public.b" in two("inspect table public.a")
    assert two("inspect herd k", 1) == "Not implemented yet\n"


def test_a_sync_begins_when_it_is_added(two: Ctl, master: Node):
    two("add herd h public.a db=master")
    master.execute("insert into a values (1, 1)")
    assert two("add sync s source=h targetdb=slave type=pushdelta") == 'Added sync "s"\n'
    master.execute("insert into a values (2, 2)")
    log = master.value("select log_name from pgherd.captured where table_name = 'a'")
    assert master.execute(f"select k1 from pgherd.{log}") == [(2,)], "the triggers are there without a daemon"


def test_options_of_a_sync_act_or_are_kept(two: Ctl):
    two("add herd h a db=master")
    options = "onetimecopy=2 makedelta=yes checktime='10 min' priority=3 stayalive=yes overdue=1h"
    printed = two(f"add sync s source=h targetdb=slave type=pushdelta {options}")
    assert printed == 'Added sync "s"\nNote: priority: kept and shown, without effect here\n'
    sync = two.topology().syncs["s"]
    assert (sync.onetimecopy, sync.makedelta, str(sync.checktime)) == (OneTimeCopy.EMPTY, True, "0:10:00")
    shown = two("list sync s -vv")
    assert "priority             = 3" in shown and "stayalive            = yes" in shown
    assert two("update sync s onetimecopy=0 priority=5 ping=no") == (
        'Changes made to sync "s":\n'
        ' * onetimecopy : changed from "2" to "0"\n'
        ' * ping : changed from "yes" to "no"\n'
        ' * priority : changed from "3" to "5"\n'
        "Note: priority: kept and shown, without effect here\n"
    )
    assert two("update sync s ping=no") == 'No change needed for sync "s"\n'
    assert two("update sync s type=fullcopy deletemethod=truncate").count("changed from") == 2
    sync = two.topology().syncs["s"]
    assert (sync.type, sync.copymethod, sync.autokick) == (SyncType.FULLCOPY, CopyMethod.TRUNCATE, False)
    assert 'Added table "public.log" to sync "s"' in two("update sync s add table log")
    assert TableName("public", "log") in two.topology().herds["h"].tables
    assert "No such sync" in two("update sync nobody ping=no", 1)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("source=h targetdb=slave", "Must specify a type"),
        ("source=h targetdb=slave type=sideways", 'Invalid type for a sync: "sideways"'),
        ("targetdb=slave type=swap", "Must specify a source herd"),
        ("source=nobody targetdb=slave type=swap", 'No such herd: "nobody"'),
        ("source=h type=pushdelta", "Must specify one target"),
        ("source=h targetdb=nobody type=pushdelta", 'No such database: "nobody"'),
        ("source=h targetgroup=nobody type=pushdelta", 'No such database group: "nobody"'),
        ("source=h targetdb=slave type=swap", "must specify a way to handle conflicts"),
        ("source=h targetdb=slave type=pushdelta colour=blue", 'Unknown option for a sync: "colour"'),
        ("source=keyless targetdb=slave type=pushdelta", "key"),
        ("source=h targetdb=master type=pushdelta", "no target other than its source"),
    ],
)
def test_a_sync_that_cannot_be_is_not_added(two: Ctl, line: str, complaint: str):
    two("add herd h a db=master")
    two("add herd keyless log db=master")
    assert complaint in two(f"add sync s {line}", 1)
    assert two("list syncs", 1) == "There are no entries in the 'sync' table.\n"


def test_conflicts_of_a_table_follow_what_is_said_of_it(two: Ctl, catalog_node: Node):
    two("add table public.a b db=master herd=h standard_conflict=source")
    two("add sync s source=h targetdb=slave type=swap")
    a, b = TableName("public", "a"), TableName("public", "b")
    assert two.topology().syncs["s"].strategies == ((a, "source"), (b, "source"))
    assert 'standard_conflict : changed from "source" to "latest"' in two(
        "update table public.a db=master standard_conflict=latest"
    )
    assert dict(two.topology().syncs["s"].strategies) == {a: "latest", b: "source"}
    catalog_node.execute("update bucardo.goat set standard_conflict = 'target' where tablename = 'b'")
    assert dict(two.topology().syncs["s"].strategies) == {a: "latest", b: "target"}
    catalog_node.execute("update bucardo.goat set standard_conflict = null")
    assert two.topology().syncs["s"].strategies == ()


def test_a_sync_makes_its_herd_of_tables(two: Ctl):
    two("add sync s tables=public.a,b targetdb=slave type=pushdelta db=master")
    assert [str(name) for name in two.topology().herds["s"].tables] == ["public.a", "public.b"]
    assert two("validate all") == "Validating sync s....DONE!\n"
    two("remove sync s")
    assert "still used" not in two("remove herd s")


def test_without_a_daemon_nothing_is_said_to_be_done_that_is_not(two: Ctl):
    two("add sync s tables=public.a targetdb=slave type=pushdelta db=master")
    assert "nothing was kicked" in two("kick s", 1) and "nothing was kicked" in two("kick all delta", 1)
    assert "nothing was reloaded" in two("reload s", 1)
    assert "not running" in two("reload_config", 1)
    assert two("ping 0", 1) == "CRITICAL: Timed out (0 s), no ping response from MCP\n"
    assert two("deactivate s") == "Deactivating sync s\n"
    assert two.topology().syncs["s"].paused
    assert 'Cannot kick inactive sync "s"' in two("kick s", 1)
    assert two("activate '*'") == "Activating sync s\n"
    assert not two.topology().syncs["s"].paused
    assert "|off " in two("status") and "unknown" in two("status s")
    assert two("message hello there") == ""
    assert "hello there" in (Path.cwd() / "log").read_text()


def test_stopping_what_does_not_run_leaves_the_stop_file_and_the_reason(two: Ctl, tmp_path: Path):
    two(f"set piddir={tmp_path}/run")
    assert two("stop too hot today") == f"Creating {tmp_path}/run/fullstopbucardo ... Done\n"
    assert (tmp_path / "run/fullstopbucardo").read_text() == "too hot today\n"
    for name in ("bucardo.restart.reason.log", "bucardo.restart.reason.log.log"):
        assert (tmp_path / "run" / name).read_text().endswith("| stop | too hot today\n")


def test_settings(ctl: Ctl):
    assert ctl("set log_showpid=1 audit_pid=7") == (
        'Set "log_showpid" to "1"\nSet "audit_pid" to "7"\nNote: audit_pid is kept and shown; it has no effect here\n'
    )
    assert "Unknown setting: foo" in ctl("set foo=bar log_showtime=1", 1)
    assert ctl("show log_show") == "log_showline = 0\nlog_showpid  = 1\nlog_showtime = 3\n"
    assert ctl("config log_showpid") == "log_showpid = 1\n"
    assert ctl("config set log_showpid=0") == 'Set "log_showpid" to "0"\n'
    assert "No setting is called colour" in ctl("show colour", 1)
    assert len(ctl("show all").splitlines()) == 40


def test_new_columns_follow_the_setting(two: Ctl):
    two("add sync s tables=public.a targetdb=slave type=pushdelta db=master")
    assert two.topology().syncs["s"].ddl == "newcol"
    two("set autosync_ddl=none")
    assert two.topology().syncs["s"].ddl == "none"


def test_another_catalog_is_found_by_options(two: Ctl, catalog_node: Node, tmp_path: Path, monkeypatch):
    two(f"set piddir={tmp_path}/run")
    monkeypatch.delenv("PGHERD_CONFIG")
    (tmp_path / "replicator.toml").unlink()
    place = catalog_node.database
    (tmp_path / ".bucardorc").write_text(f"dbhost={place.host}\ndbport={place.port}\ndbuser=postgres\n")
    assert "Database: master" in two(f"--dbname={place.dbname} list dbs")
    made = tmp_path / ".config/pgherd/replicator.toml"
    assert f'dbname = "{place.dbname}"' in made.read_text()
    assert "does not exist" in two("--dbname=nowhere list dbs", 1)


def test_custom_code_is_a_hook_or_a_rule(two: Ctl, tmp_path: Path):
    (tmp_path / "code.py").write_text(
        "def run(info): ...\ndef decide(info): ...\ndef judge(incoming, local, info): ...\n"
    )
    two("add sync s tables=public.a,b targetdb=slave type=swap db=master standard_conflict=latest")
    assert two("list customcode", 1) == "There are no entries in the 'db' table.\n"
    assert two("add customcode c whenrun=after_sync src_code=code.py sync=s") == 'Added customcode "c"\n'
    assert two("add code d whenrun=before_trigger_enable src_code=code.py:decide goat=public.a getdbh=1")
    hooks = {hook.name: hook for hook in two.topology().syncs["s"].hooks}
    assert (hooks["c"].moment, hooks["c"].call) == ("after_sync", f"python:{tmp_path}/code.py:run")
    assert (hooks["d"].moment, hooks["d"].tables) == ("after_rows", ("public.a",))
    two("add customcode e whenrun=conflict src_code=code.py:judge goat=public.b")
    assert two.topology().syncs["s"].strategies == ((TableName("public", "b"), f"python:{tmp_path}/code.py:judge"),)
    assert [line.split()[1] for line in two("list code").splitlines()] == ["c", "d", "e"]
    assert 'whenrun : changed from "after_sync" to "before_txn"' in two("update customcode c whenrun=before_txn")
    assert two("remove customcode c e") == 'Removed customcode "c"\nRemoved customcode "e"\n'
    sync = two.topology().syncs["s"]
    assert ([hook.name for hook in sync.hooks], sync.strategies) == (["d"], ())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("whenrun=after_sync sync=s", "Must give src_code="),
        ("src_code=sql:f sync=s", "Must give whenrun="),
        ("whenrun=someday src_code=sql:f sync=s", "Invalid whenrun"),
        ("whenrun=after_sync src_code=code.pl sync=s", "Perl is not run here"),
        ("whenrun=after_sync src_code=nowhere.py sync=s", "nowhere.py"),
        ("whenrun=after_sync src_code=sql:f", "Say what it is for"),
        ("whenrun=after_sync src_code=sql:f sync=nobody", 'No such sync: "nobody"'),
        ("whenrun=after_sync src_code=sql:f sync=s colour=blue", 'Unknown option for a customcode: "colour"'),
        ("whenrun=after_sync src_code=sql:public.f sync=s", "no function public.f(jsonb) on slave"),
        ("whenrun=after_sync src_code=sql:f( sync=s", "no function f((jsonb)"),
    ],
)
def test_custom_code_that_cannot_be_is_not_added(two: Ctl, line: str, complaint: str):
    two("add sync s tables=public.a targetdb=slave type=pushdelta db=master")
    assert complaint in two(f"add customcode c {line}", 1)
    assert two("list code", 1) == "There are no entries in the 'db' table.\n"

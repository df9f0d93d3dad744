"""`replicator init, add, update, remove, list` as their users run them, on real servers."""

from __future__ import annotations

import io
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import pytest

from replicator.capture import ensure as ensure_capture
from replicator.capture import needs
from replicator.catalog import Catalog, LinkState, State
from replicator.cli import main
from replicator.config import Config
from replicator.model import Install, TableName
from replicator.postgres import Connector
from replicator.relations import describe
from tests.fixtures.cli import Result
from tests.fixtures.nodes import Node
from tests.fixtures.servers import free_port

SCHEMA = """
create table branches (bid int primary key, bbalance int);
create table accounts (aid int primary key, bid int);
create table history (tid int, delta int);
create schema "Odd"; create table "Odd"."a.b" (id int primary key);
create sequence counter;
"""


@dataclass
class Site:
    """An install with its own catalog, and the nodes that it may use."""

    config: Path
    connector: Connector
    nodes: dict[str, Node]

    def __call__(self, line: str, *more: object, stdin: str = "") -> Result:
        """Run a command in this process: starting one for each would take most of the time."""
        out, err, given = io.StringIO(), io.StringIO(), io.StringIO(stdin)
        words = ["--config", str(self.config), *line.split(), *map(str, more)]
        with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "stdin", given):
            code = main(words)
        return Result(line, code, out.getvalue(), err.getvalue())

    @contextmanager
    def started(self, line: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs beside this process."""
        words = [sys.executable, "-m", "replicator", "--config", self.config, *line.split()]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def place(self, name: str) -> list[object]:
        database = self.nodes[name].database
        where = {"dbname": database.dbname, "host": database.host, "port": database.port, "user": database.user}
        return [f"{key}={value}" for key, value in where.items()]

    def add_dbs(self, *names: str) -> None:
        for name in names:
            self(f"add db {name}", *self.place(name)).ok()

    def json(self, line: str) -> list[dict]:
        return self(f"{line} --json").ok().json()

    def capture(self, name: str) -> None:
        """Do as a controller does: have a node log what it must."""
        with Catalog.open(self.connector) as catalog, self.connector.open(self.nodes[name].database) as connection:
            connection.autocommit = True
            wanted = needs(catalog.topology(), name)
            ensure_capture(connection, Install(), wanted, describe(connection, list(wanted)))

    def triggers(self, name: str) -> set[str]:
        return {
            table
            for (table,) in self.nodes[name].execute(
                "select tgrelid::regclass::text from pg_trigger where not tgisinternal and tgname like 'pgherd%%'"
            )
        }

    def has_schema(self, name: str) -> bool:
        return self.nodes[name].value("select to_regnamespace('pgherd') is not null")


@pytest.fixture
def bare_site(connector: Connector, node_factory, tmp_path) -> Site:
    """Before `replicator init`."""
    lines = "".join(f'{key} = "{value}"\n' for key, value in connector.config.catalog.items())
    config = tmp_path / "replicator.toml"
    config.write_text(f'passfile = "passwords"\n[catalog]\n{lines}')
    nodes = {name: node_factory(name, schema=SCHEMA) for name in ("master", "slave", "master2")}
    return Site(config, connector, nodes)


@pytest.fixture
def site(bare_site: Site) -> Site:
    Catalog.init(bare_site.connector)
    return bare_site


@pytest.fixture
def declared(site: Site) -> Site:
    site.add_dbs("master", "slave", "master2")
    site("add herd alpha --db master branches accounts").ok()
    site("add sync push type=pushdelta source=alpha target=slave").ok()
    return site


def test_init_creates_once(bare_site: Site):
    assert "holds no catalog yet. Create it: `replicator init`." in bare_site("list dbs").exits(2).err
    assert bare_site("init").ok().out == "The catalog is ready.\n"
    assert bare_site("init").ok().out == "The catalog is ready; nothing had to be changed.\n"
    assert bare_site("list dbs").ok().out == "There are no databases in the catalog.\n"


def test_the_how_tos_topology(site: Site):
    site.add_dbs("master", "slave", "master2")
    site("add dbgroup copies slave master2").ok()
    done = site("add all tables --db master -T history -T Odd.* --herd alpha").ok()
    assert done.out == "Added herd alpha.\n"
    site("add herd beta --db master history").ok()
    site("add herd gamma --db master2 --all --exclude history --sequences").ok()
    site("add sync push type=pushdelta source=alpha targetdb=slave").ok()
    site("add sync copy type=fullcopy source=beta targetgroup=copies checktime=5m").ok()
    site("add sync swap --type swap --source gamma --target master --strategy source --makedelta").ok()
    syncs = {row["name"]: row for row in site.json("list syncs")}
    assert syncs["copy"]["databases"] == ["slave", "master2"]
    assert syncs["copy"]["checktime"] == 300
    assert (syncs["swap"]["strategy"], syncs["swap"]["makedelta"]) == ("source", True)
    herds = {row["name"]: row for row in site.json("list herds")}
    assert herds["alpha"]["tables"] == ["public.branches", "public.accounts"]
    assert herds["gamma"]["tables"] == ["public.branches", "public.accounts", 'Odd."a.b"']
    assert herds["gamma"]["sequences"] == ["public.counter"]


def test_list_prints_aligned_text_and_takes_patterns(declared: Site):
    lines = declared("list tables").ok().out.splitlines()
    assert lines == [
        "Table            Database  Herd   Key  Syncs",
        "public.branches  master    alpha  bid  push",
        "public.accounts  master    alpha  aid  push",
    ]
    assert [row["table"] for row in declared.json("list table acc*")] == ["public.accounts"]
    assert [row["name"] for row in declared.json("list databases mas%")] == ["master", "master2"]
    assert declared("list syncs x* y*").ok().out == "There are no syncs matching x*, y* in the catalog.\n"
    assert declared("list sequences").ok().out == "There are no sequences in the catalog.\n"
    assert declared.json("list sequences") == []
    assert "push  pushdelta  alpha  master  slave    active  on change" in declared("list sync").ok().out


def test_list_tables_of_a_server_that_is_down_goes_without_keys(declared: Site):
    declared(f"update db master --no-check --port {free_port()} --inactive").exits(2)
    declared("update db master --no-active").ok()
    assert [(row["key"], row["exists"]) for row in declared.json("list tables")] == [(None, None), (None, None)]
    assert "public.branches  master    alpha  ?    push" in declared("list tables").ok().out


def test_list_tables_tells_of_missing_tables_and_keys(declared: Site):
    declared("add herd beta --db master history").ok()
    declared.nodes["master"].execute("drop table branches")
    keys = {row["table"]: (row["key"], row["exists"]) for row in declared.json("list tables")}
    assert keys == {
        "public.branches": (None, False),
        "public.accounts": (["aid"], True),
        "public.history": ([], True),
    }
    out = declared("list tables").ok().out
    assert "table missing" in out
    assert "none" in out


def test_members_of_a_dbgroup_have_roles(declared: Site):
    declared("add dbgroup g master:source slave:target").ok()
    listed = "g     master:source, slave:target"
    assert listed in declared("list dbgroups").ok().out
    (row,) = declared.json("list dbgroups g")
    assert (row["databases"], row["roles"]) == (["master", "slave"], {"master": "source", "slave": "target"})
    assert "+ roles.master2: source" in declared("update dbgroup g add master2:source").ok().out
    assert "- roles.slave: target" in declared("update dbgroup g remove slave").ok().out
    wrong = declared("update dbgroup g add slave:both").exits(2)
    assert "'both' is not a role; write slave:source or slave:target" in wrong.err


def test_a_node_is_not_awaited_when_nobody_works(declared: Site):
    refused = declared("add-node push master2").exits(1)
    assert "`replicator start`" in refused.err and "--no-wait" in refused.err
    assert declared.json("list syncs push")[0]["targets"] == ["slave"]
    assert "+ target: master2" in declared("add-node push master2 --no-wait").ok().out
    declared("update sync push --paused").ok()
    assert "sync push is paused" in declared("add-node push master2").exits(2).err
    out = declared("remove-node push master2").ok().out
    assert "- target: master2" in out and "Nothing of it is left on master2." in out
    assert "slave is the only target" in declared("remove-node push slave").exits(2).err


def test_nothing_to_change_says_so(declared: Site):
    assert declared("update sync push strategy=latest").ok().out == "Nothing to change: it is so already.\n"


def test_updates_show_what_they_changed(declared: Site):
    out = declared("update sync push checktime=30s makedelta=yes --no-autokick").ok().out
    assert out.splitlines() == [
        "Updated sync push.",
        "  - makedelta: false",
        "  - autokick: true",
        "  + makedelta: true",
        "  + autokick: false",
        "  + checktime: 0:00:30",
    ]
    assert "- checktime: 0:00:30" in declared("update sync push --checktime none").ok().out
    declared("add dbgroup g master2").ok()
    assert "+ member: slave" in declared("update dbgroup g add slave").ok().out
    assert "- member: master2" in declared("update dbgroup g remove master2").ok().out
    assert "+ table: public.counter" not in declared("update herd alpha add Odd.*").ok().out
    assert '- table: Odd."a.b"' in declared("update herd alpha remove", 'Odd."a.b"').ok().out
    assert "+ options.sslmode: prefer" in declared("update db slave --option sslmode=prefer").ok().out
    assert "- options.sslmode: prefer" in declared("update db slave --option sslmode=").ok().out


def test_how_changes_are_captured(declared: Site):
    def captures() -> dict[str, str]:
        return {row["name"]: row["capture"] for row in declared.json("list dbs")}

    assert captures() == dict.fromkeys(("master", "slave", "master2"), "triggers")
    declared("add db further --capture wal", *declared.place("master2")).ok()
    assert "  - capture: triggers\n  + capture: wal\n" in declared("update db master2 capture=wal").ok().out
    declared("update db master2 --active").ok()
    assert captures() == {"master": "triggers", "slave": "triggers", "master2": "wal", "further": "wal"}
    head, *lines = declared("list dbs").ok().out.splitlines()
    assert [line.split()[head.split().index("Capture")] for line in lines if "further" in line] == ["wal"]
    assert "sync push: it writes to slave, which is captured" in declared("update db slave --capture wal").exits(2).err
    declared.nodes["master"].execute("alter table branches replica identity nothing")
    refused = declared("update db master --capture wal").exits(2).err
    assert "branches has no replica identity" in refused, "its syncs are looked at"
    assert declared("update db master2 --capture triggers").ok()
    assert captures()["master2"] == "triggers"


BAD = (
    ("add db master", "database master exists already. Use `replicator update` to change it."),
    (
        "add sync s --type pushdelta --source nope --target slave",
        "sync s: no herd is called 'nope'; known: alpha",
    ),
    (
        "add sync s --type pushdelta --source alpha --target nope",
        "sync s: no database or dbgroup is called 'nope'",
    ),
    (
        "add sync two-words --type pushdelta --source alpha --target slave",
        "sync 'two-words': a name is a letter",
    ),
    ("add herd h --db nope", "no database is called 'nope'; known: master, master2, slave."),
    ("add herd h --db master nope x*", "master: there is no table public.nope"),
    ("add herd h --db master --all branches", "name tables or say --all, not both."),
    ("add table history --herd alpha", "sync push: public.history has no primary key"),
    ("add table history --herd nope", "no herd is called 'nope'; known: alpha."),
    ("add sequence branches --herd alpha", "master: public.branches is not a sequence"),
    ("add all views --db master --herd h", "add all what? 'views' is neither tables nor sequences."),
    ("add all tables --db slave --herd alpha", "herd alpha is of database master, not of slave."),
    ("add db x --password hunter2", "a password on the command line can be read by others"),
    ("add db x --option nonsense", "'nonsense' is not an option; write key=value"),
    ("update sync push --checktime soon", "'soon' is not a duration"),
    ("update sync nope --paused", "no sync is called 'nope'; known: push."),
    ("update dbgroup nope add slave", "no dbgroup is called 'nope'; known: none."),
    ("update herd alpha", "say what to change"),
    ("update herd alpha remove history", "herd alpha lists no table public.history."),
    ("remove db master", "database master is still used by herd alpha; remove that first."),
    ("remove db slave", "database slave is still used by sync push; remove that first."),
    ("remove herd alpha", "herd alpha is still used by sync push; remove that first."),
    ("remove sync nope push", "no sync is called 'nope'; known: push."),
    ("remove table history", "no herd lists a table public.history."),
    ("remove table branches accounts", "sync push: herd alpha is empty; add a table to it first"),
)


def test_hooks_of_a_sync(declared: Site, tmp_path: Path):
    assert declared("list hooks").ok().out == "There are no hooks in the catalog.\n"
    declared("add hook audit --sync push --when after_sync --call sql:audit.note").ok()
    declared("add hook check sync=push whenrun=after_trigger_enable call=sql:check table=accounts timeout=5s").ok()
    (audit, check) = declared.json("list hooks")
    assert (audit["moment"], audit["tables"], audit["seconds"]) == ("after_sync", [], 30)
    assert (check["moment"], check["tables"], check["seconds"]) == ("after_rows", ["public.accounts"], 5)
    changed = declared("update hook audit --sync push --timeout 1m").ok().out
    assert "+ hook: audit: after_sync: sql:audit.note within 60 s" in changed
    missing = tmp_path / "missing.py"
    for line, why in (
        ("add hook audit --sync push --when after_sync --call sql:f", "has a hook audit already"),
        ("add hook x --sync push --when conflict --call sql:f", "decided by a strategy"),
        ("add hook x --sync push --when whenever --call sql:f", "expected one of before_sync"),
        ("add hook x --sync push --when after_sync --call perl:f", "expected sql:FUNCTION"),
        ("add hook x --sync push --when after_txn --call sql:f --table nowhere", "no table of herd alpha"),
        (f"add hook x --sync push --when after_sync --call python:{missing}:f", "correct it"),
        ("add hook x --sync nobody --when after_sync --call sql:f", "no sync is called 'nobody'"),
        ("remove hook nobody --sync push", "no hook of sync push is called 'nobody'"),
    ):
        assert why in declared(line).exits(2).err
    declared("remove hook audit check --sync push").ok()
    assert declared.json("list hooks") == []


def test_bad_input_gets_a_sentence_and_changes_nothing(declared: Site):
    nouns = ("dbs", "dbgroups", "herds", "syncs")
    before = [declared.json(f"list {noun}") for noun in nouns]
    for line, sentence in BAD:
        result = declared(line).exits(2)
        assert sentence in result.err, line
        assert all(text.startswith(("replicator: ", "looking at ")) for text in result.err.splitlines()), line
        assert result.out == ""
    assert [declared.json(f"list {noun}") for noun in nouns] == before


def test_a_server_that_does_not_answer_ends_with_code_4(site: Site):
    result = site(f"add db far --host 127.0.0.1 --port {free_port()}").exits(4)
    assert "far (far at 127.0.0.1:" in result.err
    assert "does not answer" in result.err
    assert site.json("list dbs") == []
    site(f"add db far --host 127.0.0.1 --port {free_port()} --no-check").ok()
    assert [row["name"] for row in site.json("list dbs")] == ["far"]


def test_all_problems_of_a_sync_are_told_at_once(declared: Site):
    declared.nodes["slave"].execute("drop table branches; alter table accounts alter aid type bigint")
    declared("remove sync push").ok()
    result = declared("add sync push --type pushdelta --source alpha --target slave").exits(2)
    assert "there is no table public.branches; create it there as it is on master" in result.err
    assert 'column "aid" is integer on the source and bigint on the target' in result.err
    assert declared.json("list syncs") == []


def test_passwords_go_into_the_password_file_alone(site: Site, tmp_path):
    site("add db master --password-stdin", *site.place("master"), stdin="s3cr:et\n").ok()
    passfile = tmp_path / "passwords"
    database = site.nodes["master"].database
    line = f"{database.host}:{database.port}:{database.dbname}:{database.user}:s3cr\\:et\n"
    assert passfile.read_text() == line
    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
    assert "s3cr" not in site("list dbs --json").ok().out
    site(f"add db far --host 127.0.0.1 --port {free_port()} --password-stdin", stdin="other\n").exits(4)
    assert passfile.read_text() == line
    assert site("add db x --password-stdin").exits(2).err.startswith("replicator: --password-stdin was given")


@pytest.mark.pg("10,13,16,18")
def test_a_removed_sync_leaves_no_trace_on_its_nodes(declared: Site):
    declared.capture("master")
    assert declared.triggers("master") == {"branches", "accounts"}
    result = declared("remove sync push").ok()
    assert result.out == "Removed sync push.\n"
    assert "cleaned up after sync push on master" in result.err
    assert declared.triggers("master") == set()
    assert not declared.has_schema("master")
    assert declared.json("list leftovers") == []


def test_a_removed_table_loses_its_log_and_the_others_keep_theirs(declared: Site):
    declared.capture("master")
    declared("remove table accounts --herd alpha").ok()
    assert declared.triggers("master") == {"branches"}


def test_a_log_that_another_sync_reads_stays(declared: Site):
    declared("add herd same --db master branches").ok()
    declared("add sync other --type pushdelta --source same --target master2").ok()
    declared.capture("master")
    declared("remove sync push").ok()
    assert declared.triggers("master") == {"branches"}


def test_a_log_that_is_read_under_another_nickname_stays(declared: Site):
    """Two nicknames of one database, by two addresses: what one leaves the other still needs."""
    twin = declared.nodes["master"].database
    declared(f"add db twin --host localhost --port {twin.port} --dbname {twin.dbname} --user {twin.user}").ok()
    declared("add herd same --db twin branches").ok()
    declared("add sync other --type pushdelta --source same --target master2").ok()
    declared.capture("master")
    declared("remove sync push").ok()
    assert declared.triggers("master") == {"branches"}


def test_a_node_that_is_down_is_cleaned_up_later(declared: Site, private_server: Callable):
    server = private_server()
    server.execute(SCHEMA)
    far = Node(server, server.database("postgres", "far"))
    declared.nodes["far"] = far
    declared.add_dbs("far")
    declared("add herd remote --db far branches").ok()
    declared("add sync away --type pushdelta --source remote --target master2").ok()
    declared.capture("far")
    server.stop()
    result = declared("remove sync away").ok()
    assert "what sync away left on far is still there and will be cleaned up later" in result.err
    (left,) = declared.json("list leftovers")
    assert (left["database"], left["what"]) == ("far", "triggers and logs")
    assert "does not answer" in left["error"]
    server.start()
    assert declared.triggers("far") == {"branches"}
    assert declared("remove leftovers").ok().out == "Cleaned up 1 of 1 leftovers.\n"
    assert declared.triggers("far") == set()


def test_a_name_comes_back_only_after_its_positions_are_gone(declared: Site, private_server: Callable):
    server = private_server()
    server.execute(SCHEMA)
    declared.nodes["far"] = Node(server, server.database("postgres", "far"))
    declared.add_dbs("far")
    add = "add sync away --type pushdelta --source alpha --target far"
    declared(add).ok()
    server.stop()
    declared("remove sync away").ok()
    declared("add sync else_ --type pushdelta --source alpha --target far").exits(4)
    server.start()
    declared(add).ok()
    assert declared.json("list leftovers") == []
    server.stop()
    declared("remove sync away").ok()
    assert declared("remove leftovers far --forget").ok().out == "Cleaned up 1 of 1 leftovers.\n"
    assert declared.json("list leftovers") == []


def test_cleaning_waits_until_the_controller_has_left(declared: Site, connector: Connector):
    declared.capture("master")
    controller = Catalog.open(connector, "controller")
    assert controller.try_lock("sync", "push")
    controller.listen()
    with declared.started("remove sync push") as removing:
        assert controller.wait(20)
        assert "push" not in controller.topology().syncs
        assert declared.triggers("master") == {"branches", "accounts"}
        assert removing.poll() is None
        controller.close()
        assert removing.wait(20) == 0
    assert declared.triggers("master") == set()


def test_cleaning_waits_until_the_controller_follows(declared: Site, connector: Connector):
    declared.capture("master")
    state = LinkState(sync="push", source="master", target="slave", state=State.IDLE)
    with Catalog.open(connector, "controller") as controller:
        assert controller.try_lock("sync", "push")
        controller.topology()
        controller.report(state)
        controller.listen()
        with declared.started("remove table accounts") as removing:
            assert controller.wait(20)
            assert declared.triggers("master") == {"branches", "accounts"}
            assert removing.poll() is None
            controller.topology()
            controller.report(state)
            assert removing.wait(20) == 0
    assert declared.triggers("master") == {"branches"}


def test_a_controller_that_hangs_is_not_waited_for_for_ever(declared: Site, connector: Connector, monkeypatch):
    monkeypatch.setattr("replicator.topology.cleaning.PATIENCE", 0.3)
    with Catalog.open(connector, "controller") as controller:
        assert controller.try_lock("sync", "push")
        result = declared("remove sync push").ok()
    assert "the controller of sync push did not stop within" in result.err
    assert len(declared.json("list leftovers")) == 2
    declared("remove leftovers").ok()
    assert declared.json("list leftovers") == []


def test_an_interrupted_removal_is_finished_by_the_next(declared: Site, connector: Connector):
    declared.capture("master")
    with Catalog.open(connector, "controller") as controller:
        assert controller.try_lock("sync", "push")
        controller.listen()
        with declared.started("remove sync push") as removing:
            assert controller.wait(20)
            removing.send_signal(signal.SIGINT)
            assert removing.wait(20) == 130
    assert declared.triggers("master") == {"branches", "accounts"}
    assert {left["database"] for left in declared.json("list leftovers")} == {"master", "slave"}
    declared("add sync push type=pushdelta source=alpha target=slave").ok()
    assert declared.json("list leftovers") == []


def test_a_sync_that_becomes_another_kind_begins_anew(declared: Site):
    declared.capture("master")
    result = declared("update sync push type=fullcopy").ok()
    assert "cleaned up after sync push on master" in result.err
    assert declared.triggers("master") == set()
    assert declared.json("list syncs")[0]["type"] == "fullcopy"


def test_another_installs_triggers_are_left_alone(declared: Site):
    declared.capture("master")
    other = Install("other")
    master = declared.nodes["master"].database
    connector = Connector(Config(install=other, catalog=declared.connector.config.catalog))
    with connector.open(master, autocommit=True) as connection:
        with Catalog.open(declared.connector) as catalog:
            wanted = needs(catalog.topology(), "master")
        ensure_capture(connection, other, wanted, describe(connection, [TableName("public", "branches")]))
    declared("remove sync push").ok()
    assert declared.nodes["master"].value("select to_regnamespace('pgherd_other') is not null")
    assert not declared.has_schema("master")


def test_a_connection_refused_for_its_role(declared: Site):
    place = replace(declared.nodes["slave"].database, user="nobody_at_all")
    line = f"update db slave --user {place.user}"
    assert 'role "nobody_at_all" does not exist' in declared(line).exits(4).err

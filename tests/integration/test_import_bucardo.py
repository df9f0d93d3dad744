"""`replicator import-bucardo`: what Bucardo 4 and 5 declared comes out as an inventory that loads and says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.inventory import Inventory, load
from replicator import importing
from replicator.errors import ConfigError, NotFound, Refused
from tests.fixtures.cli import Program
from tests.fixtures.nodes import Node, NodeFactory

FIXTURES = Path(__file__).parents[1] / "fixtures"


def dsn(node: Node) -> str:
    place = node.database
    return f"host={place.host} port={place.port} dbname={place.dbname} user={place.user}"


def printed(node: Node) -> str:
    former = importing.read(dsn(node))
    return importing.inventory(importing.declare(former), former.version)


def loaded(text: str, folder: Path) -> Inventory:
    path = folder / "inventory.yml"
    path.write_text(text)
    return load(path)


@pytest.fixture
def four(node_factory: NodeFactory) -> Node:
    return node_factory("four", schema=(FIXTURES / "bucardo4.sql").read_text())


@pytest.fixture
def five(node_factory: NodeFactory) -> Node:
    return node_factory("five", schema=(FIXTURES / "bucardo5.sql").read_text())


def test_bucardo_4_comes_out_as_it_was(four: Node, tmp_path: Path) -> None:
    found = loaded(printed(four), tmp_path)
    declared = found.replication
    assert declared
    places = {name: (found.host(db.host), db.dbname, db.user) for name, db in declared.databases.items()}
    assert {name: (host.address, host.postgresql.port, *rest) for name, (host, *rest) in places.items()} == {
        "beside": ("127.0.0.1", 5432, "test1", None),
        "test1_master": ("10.11.12.241", 5432, "test1", None),
        "test1_master2": ("db.example.com", 5433, "test1", "other"),
        "test1_slave": ("10.11.12.242", 5432, "test1", None),
    }
    assert declared.databases["test1_slave"].options == {"sslmode": "require"}
    assert {name: list(group) for name, group in declared.dbgroups.items()} == {
        "test1_history": ["test1_master2", "test1_slave"]
    }
    alpha, beta = declared.herds["alpha"], declared.herds["beta_1"]
    assert alpha.tables == ("pgbench_tellers", "pgbench_branches", '"Odd ""one""".on')
    assert (alpha.database, alpha.sequences, beta.tables) == ("test1_master", ("numbers",), ("pgbench_history",))
    syncs = {name: (str(s.type), s.source, s.targets, str(s.makedelta)) for name, s in declared.syncs.items()}
    assert syncs == {
        "benchcopy": ("fullcopy", "beta_1", ("test1_history",), "no"),
        "benchdelta": ("pushdelta", "alpha", ("test1_slave",), "no"),
        "benchswap": ("swap", "gamma", ("test1_master",), "yes"),
    }
    swap, copy = declared.syncs["benchswap"], declared.syncs["benchcopy"]
    assert (swap.strategy, swap.strategies) == ("target", {"pgbench_accounts": "latest"})
    assert (copy.autokick, copy.paused, str(copy.onetimecopy), str(copy.copymethod)) == (
        False,
        True,
        "always",
        "truncate",
    )
    assert copy.checktime is not None
    assert copy.checktime.total_seconds() == 90


def test_no_password_is_read_and_the_page_says_where_to_put_it(four: Node, tmp_path: Path) -> None:
    text = printed(four)
    assert "-secret" not in text
    assert "provision secret set INVENTORY bucardo" in text
    declared = loaded(text, tmp_path).replication
    assert declared
    assert declared.role_password is not None
    former = importing.read(dsn(four))
    assert "-secret" not in repr(former)
    assert not {"dbpass", "src_code"} & {column for row in (*former.dbs, *former.codes) for column in row}
    assert former.settings["email_auth_pass"] is None


def test_what_has_no_equivalent_is_said_and_nothing_else(four: Node) -> None:
    text = printed(four)
    said = [line.strip() for line in text.splitlines() if line.lstrip().startswith("#!")]
    for note in (
        "custom code mailer (after_sync; sync benchdelta) is Perl: write it anew as a hook",
        "custom code judge (conflict; table public.pgbench_accounts) is Perl: write it anew as a strategy",
        "setting piddir = /run/b",
        "setting email_auth_pass = (a secret, not read)",
        "herd mixed is left out: its members are of databases test1_master, test1_slave",
        "sync strays is left out",
        "sync nowhere is left out: it has no target that can be",
        "dbconn gave token",
        "targetlimit = 3",
        "it was inactive",
        "of beside Bucardo gave no host",
        "lifetime = 1 day",
        "deletemethod = truncate_cascade",
        "customselect = select id",
    ):
        assert [line for line in said if note in line], note
    assert "kid_pingtime" not in text, "it is as it was delivered"
    assert "stayalive" not in text


def test_bucardo_5_becomes_a_sync_for_each_role(five: Node, tmp_path: Path) -> None:
    text = printed(five)
    found = loaded(text, tmp_path)
    declared = found.replication
    assert declared
    syncs = {name: (str(s.type), s.source, s.targets, str(s.makedelta)) for name, s in declared.syncs.items()}
    assert syncs == {
        "mine": ("swap", "small", ("c",), "no"),
        "shop": ("swap", "shop", ("b",), "yes"),
        "shop_2": ("pushdelta", "shop", ("c",), "no"),
        "shop_3": ("fullcopy", "shop", ("d",), "no"),
    }
    assert (declared.syncs["shop"].strategy, declared.syncs["shop"].strategies) == ("source", {"stock": "b, a"})
    assert declared.syncs["mine"].strategy == "latest"
    assert [host.address for host in found.hosts] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.3"]
    for note in (
        "database old is a mysql",
        "conflict_strategy bucardo_custom has no equivalent",
        "public.orders: it has a customname",
        "sequences do not follow between masters",
        "part of Bucardo's shop",
    ):
        assert f"{note}" in text


def test_the_command_prints_or_writes_and_never_overwrites(four: Node, program: Program, tmp_path: Path) -> None:
    shown = program("replicator", "import-bucardo", dsn(four)).ok()
    assert "databases: 4, herds: 3, syncs: 3;" in shown.err
    file = tmp_path / "new.yml"
    program("replicator", "import-bucardo", dsn(four), "--output", str(file)).ok()
    assert file.read_text() == shown.out
    file.write_text("mine")
    assert "exists already" in program("replicator", "import-bucardo", dsn(four), "--output", str(file)).exits(2).err
    assert file.read_text() == "mine"


def test_what_is_no_bucardo_is_told_in_a_sentence(nodes: object, node_factory: NodeFactory) -> None:
    empty = node_factory("empty")
    with pytest.raises(NotFound, match=r"holds no Bucardo: there is no table bucardo\.sync"):
        importing.read(dsn(empty))
    with pytest.raises(Refused, match="does not exist"):
        importing.read(dsn(empty).replace("dbname=", "dbname=no"))
    with pytest.raises(ConfigError) as caught:
        importing.read("postgresql://user:pass-word@[broken")
    assert "pass-word" not in str(caught.value)
    assert caught.value.__cause__ is None

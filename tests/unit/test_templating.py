"""Templates render what the inventory says, and say their own faults with file and line."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from provision import templating
from provision.errors import InputError
from provision.inventory import Inventory, load
from provision.secrets import Secret
from provision.templating import Templates, conf, hba

SHIPPED = Path(__file__).parents[2] / "inventories"


def inventory(folder: Path, text: str) -> Inventory:
    path = folder / "hosts.yml"
    path.write_text(dedent(text))
    return load(path, listens=lambda address: True)


@pytest.fixture
def three(tmp_path: Path) -> Inventory:
    return inventory(
        tmp_path,
        """\
        all:
          vars:
            motto: no write is lost
            replication:
              catalog: {host: one}
              role: herder
              allow_from: [203.0.113.0/24]
              databases:
                a: {host: one, dbname: shop}
                b: {host: two, dbname: shop}
                c: {host: two, dbname: ledger, user: clerk}
            postgresql:
              port: 5433
              settings: {shared_buffers: 1GB, work_mem: 16MB, jit: off, search_path: '"$user", it''s'}
              access:
                - {user: [web, worker], database: shop, from: [apps, 192.0.2.0/24]}
                - {user: all, database: sameuser, from: samehost, auth: trust}
          hosts:
            one: {address: 10.0.0.1}
            two: {address: 10.0.0.2}
          children:
            apps: {hosts: {"app[1:2]": {address: "10.0.1.{{ inventory_hostname[-1] }}"}}}
        """,
    )


def settings(text: str) -> dict[str, str]:
    """The settings of a rendered postgresql.conf, as they stand there."""
    lines = [line.split("\t#")[0] for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [(name, value) for name, _, value in (line.partition(" = ") for line in lines)]
    assert len({name for name, _ in pairs}) == len(pairs), "no setting stands there twice"
    return dict(pairs)


def rules(text: str) -> list[list[str]]:
    """The rules of a rendered pg_hba.conf, field by field."""
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_postgresql_conf_of_a_remote_host(three: Inventory) -> None:
    text = Templates(three).render("postgresql.conf.j2", three.host("one"))
    assert text.startswith("# managed by pgherd provision: changes made here are replaced\n# Host one.")
    assert text.endswith("\n")
    found = settings(text)
    assert found["listen_addresses"] == "'localhost, 10.0.0.1'"
    assert found["port"] == "5433"
    assert found["password_encryption"] == "'scram-sha-256'"
    assert found["shared_buffers"] == "'1GB'"
    assert (found["work_mem"], found["jit"]) == ("'16MB'", "off")
    assert found["search_path"] == "'\"$user\", it''s'"
    assert found["logging_collector"] == "on"
    assert "unix_socket_directories" not in found


def test_postgresql_conf_of_a_local_node() -> None:
    found = load(SHIPPED / "local.yml", listens=lambda address: True)
    values = settings(Templates(found).render("postgresql.conf.j2", found.host("slave")))
    assert values["listen_addresses"] == "'127.0.0.242'"
    assert values["unix_socket_directories"] == "''"
    assert values["shared_buffers"] == "'64MB'"
    assert values["cluster_name"] == "'slave'"
    assert "logging_collector" not in values


def test_md5_is_stored_where_it_is_asked_for(tmp_path: Path) -> None:
    found = inventory(tmp_path, "all: {hosts: {a: {postgresql: {auth: md5, socket_dir: /run/pg}}}}")
    values = settings(Templates(found).render("postgresql.conf.j2", found.host("a")))
    assert values["password_encryption"] == "'md5'"
    assert values["unix_socket_directories"] == "'/run/pg'"


def test_pg_hba_lets_in_who_is_declared(three: Inventory) -> None:
    text = Templates(three).render("pg_hba.conf.j2", three.host("two"))
    assert rules(text) == [
        ["local", "all", "postgres", "peer"],
        ["hostssl", "ledger", "clerk", "10.0.0.1/32", "scram-sha-256"],
        ["hostssl", "ledger", "clerk", "10.0.0.2/32", "scram-sha-256"],
        ["hostssl", "ledger", "clerk", "203.0.113.0/24", "scram-sha-256"],
        ["hostssl", "shop", "herder", "10.0.0.1/32", "scram-sha-256"],
        ["hostssl", "shop", "herder", "10.0.0.2/32", "scram-sha-256"],
        ["hostssl", "shop", "herder", "203.0.113.0/24", "scram-sha-256"],
        ["hostssl", "shop", "web,worker", "10.0.1.1/32", "scram-sha-256"],
        ["hostssl", "shop", "web,worker", "10.0.1.2/32", "scram-sha-256"],
        ["hostssl", "shop", "web,worker", "192.0.2.0/24", "scram-sha-256"],
        ["host", "sameuser", "all", "samehost", "trust"],
    ]
    assert text.count("# the replicator\n") == 1


def test_pg_hba_of_the_catalog_names_its_database(three: Inventory) -> None:
    found = rules(Templates(three).render("pg_hba.conf.j2", three.host("one")))
    assert ["hostssl", "pgherd,shop", "herder", "10.0.0.2/32", "scram-sha-256"] in found
    assert not any("ledger" in rule[1] for rule in found)


def test_pg_hba_of_hosts_without_replication_keeps_it_out(three: Inventory) -> None:
    found = rules(Templates(three).render("pg_hba.conf.j2", three.host("app1")))
    assert not any("herder" in rule[2] for rule in found)


def test_pg_hba_of_a_local_node_is_loopback_only() -> None:
    found = load(SHIPPED / "local.yml", listens=lambda address: True)
    assert rules(Templates(found).render("pg_hba.conf.j2", found.host("master"))) == [
        ["host", "all", "postgres", "127.0.0.0/8", "scram-sha-256"],
        ["host", "pgherd,test1", "bucardo", "127.0.0.0/8", "scram-sha-256"],
        ["host", "test1", "pgbench", "127.0.0.0/8", "scram-sha-256"],
    ]


def test_pgbench_comes_to_what_it_fills(tmp_path: Path) -> None:
    found = inventory(
        tmp_path,
        """\
        all:
          vars:
            connection: local
            replication: {catalog: {host: a}, databases: {x: {host: a}, y: {host: a}}}
          hosts: {a: {address: 127.0.0.9, pgbench: {databases: y}}}
        """,
    )
    names = [rule[1:3] for rule in rules(Templates(found).render("pg_hba.conf.j2", found.host("a")))]
    assert names == [["all", "postgres"], ["pgherd,x,y", "bucardo"], ["y", "pgbench"]]


def test_an_empty_group_lets_nobody_in(tmp_path: Path) -> None:
    rule = "{user: app, database: app, from: [ungrouped, apps]}"
    found = inventory(
        tmp_path,
        f"all: {{children: {{apps: , db: {{hosts: {{a: {{postgresql: {{access: [{rule}]}}}}}}}}}}}}",
    )
    assert rules(Templates(found).render("pg_hba.conf.j2", found.host("a"))) == [["local", "all", "postgres", "peer"]]


def test_trust_is_only_where_it_is_asked_for(tmp_path: Path) -> None:
    found = inventory(
        tmp_path,
        """\
        all:
          vars:
            replication: {catalog: {host: a}, databases: {x: {host: a}, y: {host: b}}}
          hosts:
            a: {address: 10.0.0.1, postgresql: {auth: trust, socket_dir: ""}}
            b: {address: 10.0.0.2}
        """,
    )
    templates = Templates(found)
    assert {rule[-1] for rule in rules(templates.render("pg_hba.conf.j2", found.host("a")))} == {"trust"}
    assert {rule[-1] for rule in rules(templates.render("pg_hba.conf.j2", found.host("b")))} == {
        "peer",
        "scram-sha-256",
    }


def test_another_superuser_proves_itself_by_password(tmp_path: Path) -> None:
    found = inventory(tmp_path, "all: {hosts: {a: {postgresql: {superuser: root}}}}")
    assert rules(Templates(found).render("pg_hba.conf.j2", found.host("a"))) == [
        ["local", "all", "root", "scram-sha-256"]
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "on"),
        (False, "off"),
        (5, "5"),
        (0.5, "0.5"),
        ("64MB", "'64MB'"),
        ("", "''"),
        ("it's", "'it''s'"),
        ("C:\\x", "'C:\\\\x'"),
        ("two\nlines", "'two\\nlines'"),
        (("a", "b"), "'a, b'"),
    ],
)
def test_conf(value: object, text: str) -> None:
    assert conf(value) == text


@pytest.mark.parametrize(
    ("names", "literal", "text"),
    [
        (("app",), False, "app"),
        (("all",), False, "all"),
        (("all", "app"), True, '"all",app'),
        (("+staff", "/^a", "o k"), False, '+staff,/^a,"o k"'),
        (("+staff", "/^a"), True, '"+staff","/^a"'),
        (('a"b', "a,b", "@file", "#x"), False, '"a""b","a,b","@file","#x"'),
    ],
)
def test_hba(names: tuple[str, ...], literal: bool, text: str) -> None:
    assert hba(names, literal) == text


@pytest.mark.parametrize("name", ["", "a\nlocal all all trust"])
def test_hba_refuses_what_would_be_another_line(name: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in"):
        hba((name,))


def test_conf_refuses_what_no_setting_holds() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        conf("a\0b")


def own(found: Inventory, name: str, text: str) -> None:
    folder = found.folder / "templates"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def test_a_template_beside_the_inventory_comes_first(three: Inventory) -> None:
    own(
        three,
        "postgresql.conf.j2",
        "{{ host.name }} {{ motto }} {{ postgresql.port }}\n{% if true %}\nx\n{% endif %}\n",
    )
    templates = Templates(three)
    assert templates.render("postgresql.conf.j2", three.host("two")) == "two no write is lost 5433\nx\n"
    assert "herder" in templates.render("pg_hba.conf.j2", three.host("two"))


def test_further_names(three: Inventory) -> None:
    own(three, "extra.j2", "{{ data_dir }} {{ host }}")
    assert Templates(three).render("extra.j2", three.host("one"), data_dir="/data") == "/data one"
    assert Templates(three).render_with("extra.j2", {"data_dir": "/d", "host": "h"}) == "/d h"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "a\n{{ mottto }}\n",
            2,
            "found 'mottto', which is not defined, expected a variable of the host or of the inventory",
        ),
        ("{% for x in [1] %}\n\n{{ nope }}{% endfor %}", 3, "found 'nope', which is not defined"),
        ("a\n\n{% if %}\n", 3, "Expected an expression, got 'end of statement block'"),
        ("a\n{{ 'x' | nofilter }}\n", 2, "No filter named 'nofilter'."),
        ("{{ 1 / 0 }}", 1, "cannot be rendered: division by zero"),
        ("\n{{ host.nmae }}", 2, "cannot be rendered: 'provision.inventory.model.Host object' has no attribute 'nmae'"),
        ("\n{{ secret }}", 2, "cannot be rendered: a secret cannot be a part of a rendered file"),
    ],
)
def test_faults_of_a_template(three: Inventory, text: str, line: int, message: str) -> None:
    own(three, "wrong.j2", text)
    with pytest.raises(InputError) as caught:
        Templates(three).render("wrong.j2", three.host("one"), secret=Secret("hunter2"))
    assert str(caught.value).startswith(f"{three.folder}/templates/wrong.j2:{line}: {message}")
    assert "hunter2" not in str(caught.value)


def test_the_fault_of_an_included_template_is_in_its_own_line(three: Inventory) -> None:
    own(three, "outer.j2", "\n\n{% include 'inner.j2' %}")
    own(three, "inner.j2", "\n{{ nope }}")
    with pytest.raises(InputError, match=r"templates/inner\.j2:2: found 'nope'"):
        Templates(three).render("outer.j2", three.host("one"))


def test_a_template_that_is_not_there(three: Inventory) -> None:
    with pytest.raises(InputError) as caught:
        Templates(three).render("none.j2", three.host("one"))
    assert str(caught.value).startswith(f"none.j2: there is no such template (looked in {three.folder}/templates, ")


def test_templates_are_found_in_the_checkout() -> None:
    found = load(SHIPPED / "local.yml", listens=lambda address: True)
    (folder,) = [folder for folder in templating.folders(found) if folder.parent != found.folder]
    assert {path.name for path in folder.iterdir()} >= {"postgresql.conf.j2", "pg_hba.conf.j2"}

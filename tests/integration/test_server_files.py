"""Servers take what pgherd writes for them: rendered configurations, verifiers of passwords, password files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from provision.inventory import load
from provision.secrets import PassEntry, Secret, md5_verifier, passfile, proves, scram_verifier, write_private
from provision.templating import Templates
from tests.fixtures.servers import WITH_PASSWORD, Server

PASSWORDS = [
    "simple",
    'it\'s "quoted" and back\\slashed: yes',
    " blanks around ",
    "Ελληνικά und Ümläute",
    "\U0001f418 elephants",
    "I\u00adX \u00aa \u2168",  # what SASLprep maps and folds
    "a\u00a0b\u2003c",  # blanks that are no spaces
    "\u0627\u0031\u0628 x",  # directions mixed: SASLprep refuses it, so it is taken as it is
    "bell\u0007",
    "x" * 900,
]

INVENTORY = """\
all:
  vars:
    connection: local
    replication:
      catalog: {{host: a}}
      databases: {{x: {{host: a, dbname: all}}, y: {{host: a, dbname: 'o"dd, name'}}}}
    postgresql:
      port: {port}
      settings:
        work_mem: 16MB
        enable_material: off
        random_page_cost: 1.5
        log_line_prefix: "it's %m C:\\\\x "
        application_name: "two\\nlines"
        my.own_setting: kept
      access:
        - {{user: [app, "o'k #1"], database: shop, from: [127.0.0.1, 192.0.2.0/24, a]}}
        - {{user: +staff, database: sameuser, from: samehost}}
  hosts:
    a: {{address: 127.0.0.1}}
"""


@pytest.fixture
def login(server: Server) -> Iterator[Callable[..., str]]:
    """Logs in as the role whose password the server wants, and returns the role's name."""
    server.execute(sql.SQL("create role {} login").format(sql.Identifier(WITH_PASSWORD)))

    def login(**params: object) -> str:
        with server.connect(user=WITH_PASSWORD, **params) as connection:
            row = connection.execute("select current_user").fetchone()
            return str(row and row[0])

    yield login
    server.execute(sql.SQL("drop role {}").format(sql.Identifier(WITH_PASSWORD)))


def set_password(server: Server, password: str) -> None:
    query = sql.SQL("set password_encryption = 'scram-sha-256'; alter role {} password {}")
    server.execute(query.format(sql.Identifier(WITH_PASSWORD), password))


def stored(server: Server) -> str:
    ((verifier,),) = server.execute("select rolpassword from pg_authid where rolname = %s", [WITH_PASSWORD])
    return str(verifier)


@pytest.mark.parametrize("password", PASSWORDS)
def test_the_server_takes_our_verifier(server: Server, login: Callable[..., str], password: str) -> None:
    verifier = scram_verifier(Secret(password))
    set_password(server, verifier)
    assert stored(server) == verifier, "it is stored as it is, not taken for a password"
    assert login(password=password) == WITH_PASSWORD
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(password=password + "x")


@pytest.mark.parametrize("password", PASSWORDS)
def test_we_know_the_verifier_of_the_server(server: Server, login: Callable[..., str], password: str) -> None:
    set_password(server, password)
    assert proves(stored(server), Secret(password), WITH_PASSWORD)
    assert not proves(stored(server), Secret(password + "x"), WITH_PASSWORD)


def test_md5_is_what_the_server_stores(server: Server, login: Callable[..., str]) -> None:
    role = sql.Identifier(WITH_PASSWORD)
    server.execute(sql.SQL("set password_encryption = md5; alter role {} password 'pw'").format(role))
    assert stored(server) == md5_verifier(Secret("pw"), WITH_PASSWORD)


@pytest.mark.parametrize("password", [password for password in PASSWORDS if "\n" not in password])
def test_libpq_reads_our_password_file(
    server: Server, login: Callable[..., str], password: str, tmp_path: Path
) -> None:
    set_password(server, scram_verifier(Secret(password)))
    wrong = PassEntry(host="elsewhere", port="*", database="*", user="*", password=Secret("wrong"))
    right = PassEntry(host=server.host, port=server.port, database="*", user=WITH_PASSWORD, password=Secret(password))
    write_private(tmp_path / "pgpass", passfile([wrong, right]))
    assert login(passfile=str(tmp_path / "pgpass")) == WITH_PASSWORD


@pytest.mark.pg("10,13,16,18")
def test_the_server_takes_our_configuration(
    private_server: Callable[..., Server], server_major: int, tmp_path: Path
) -> None:
    server = private_server()
    server.execute("create role app login; create role stranger login; create role bucardo login")
    password = Secret("the superuser's")
    server.execute(sql.SQL("alter role postgres password {}").format(scram_verifier(password)))
    (tmp_path / "hosts.yml").write_text(INVENTORY.format(port=server.port))
    inventory = load(tmp_path / "hosts.yml")
    templates = Templates(inventory)
    rendered = server.data / "rendered.conf"
    rendered.write_text(templates.render("postgresql.conf.j2", inventory.hosts[0]))
    (server.data / "pg_hba.conf").write_text(templates.render("pg_hba.conf.j2", inventory.hosts[0]))
    server.settings["include"] = str(rendered)
    server.restart()

    with server.connect(password=password.reveal()) as connection:
        assert connection.execute("select * from pg_file_settings where error is not null").fetchall() == []
        ignored = "select name from pg_file_settings where sourcefile = %s and not applied"
        assert connection.execute(ignored, [str(rendered)]).fetchall() == [("port",)], "the test's own file has it too"
        shown = {
            name: connection.execute("select current_setting(%s)", [name]).fetchone()
            for name in ("work_mem", "log_line_prefix", "my.own_setting", "cluster_name", "listen_addresses")
        }
        assert shown == {
            "work_mem": ("16MB",),
            "log_line_prefix": ("it's %m C:\\x ",),
            "my.own_setting": ("kept",),
            "cluster_name": ("a",),
            "listen_addresses": ("127.0.0.1",),
        }
        read = connection.execute(
            "select database, user_name, address, auth_method, error from pg_hba_file_rules order by line_number"
        ).fetchall()
    odd = ["all", 'o"dd, name', "pgherd"]
    assert [(databases, users, address) for databases, users, address, *_ in read] == [
        (["all"], ["postgres"], "127.0.0.0"),
        (odd, ["bucardo"], "127.0.0.0"),
        (["shop"], ["app", "o'k #1"], "127.0.0.0"),
        (["shop"], ["app", "o'k #1"], "192.0.2.0"),
        (["sameuser"], ["+staff"], "samehost"),
    ]
    assert {method for *_, method, error in read} == {"scram-sha-256"}
    for user in ("stranger", "bucardo", "app"):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            server.connect(user=user, password="x")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.connect(password="wrong")

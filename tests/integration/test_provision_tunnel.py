"""Servers reached through a host's SSH connection: the way that a deploy takes to the catalog and the nodes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from provision.errors import Unreachable
from provision.transport import Transport, Tunnel
from provision.transport.login import Login
from provision.transport.openssh import OpenSSH
from provision.transport.ssh import SSH
from replicator import errors
from replicator.config import Config
from replicator.model import Database
from replicator.postgres import Connector, fetch_one
from tests.fixtures import sshd
from tests.fixtures.servers import Server
from tests.fixtures.sshd import Sshd
from tests.fixtures.wait import until

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")
NAME = "db.example.org"
"""What the server is called. Nothing has that name: a connection that gets there went through the tunnel."""


@pytest.fixture
def tunnel(transport: Transport, server: Server) -> Iterator[Tunnel]:
    made = Tunnel(transport, server.host, server.port)
    yield made
    made.close()


def through(tunnel: Tunnel) -> Connector:
    def route(wanted: Mapping[str, str]) -> Mapping[str, str]:
        assert wanted["host"] == NAME
        return {"hostaddr": "127.0.0.1", "port": str(tunnel.port)}

    return Connector(Config(), route)


DATABASE = Database(name="d", dbname="postgres", host=NAME, port=5432, user="postgres")


def test_a_server_is_reached_under_its_own_name(tunnel: Tunnel, server: Server) -> None:
    with through(tunnel).open(DATABASE, "test", autocommit=True) as connection:
        assert fetch_one(connection, "show port") == (str(server.port),)
        assert connection.info.host == NAME


def test_much_comes_through_both_ways(tunnel: Tunnel) -> None:
    with through(tunnel).open(DATABASE, "test") as connection:
        connection.execute("create temporary table t (line text)")
        with connection.cursor().copy("copy t from stdin") as copy:
            for _ in range(200):
                copy.write("x" * 9_999 + "\n")
        received = 0
        with connection.cursor().copy("copy t to stdout") as copy:
            for part in copy:
                received += len(part)
    assert received == 200 * 10_000


def test_many_connections_at_once(tunnel: Tunnel) -> None:
    connector = through(tunnel)

    def ask(number: int) -> int:
        with connector.open(DATABASE, "test", autocommit=True) as connection:
            return int(fetch_one(connection, "select %s::int from pg_sleep(0.1)", [number])[0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(16))) == list(range(16))


def test_connections_that_end_while_data_comes_in_leave_the_others_alone(tunnel: Tunnel) -> None:
    connector = through(tunnel)

    def leave_early(_: int) -> None:
        with connector.open(DATABASE, "test") as connection, connection.cursor() as cursor:
            connection.execute("set statement_timeout = '10s'")
            stream = cursor.stream("select repeat('x', 1000) from generate_series(1, 100000)")
            next(stream)
            connection.close()

    with connector.open(DATABASE, "test", autocommit=True) as lasting, ThreadPoolExecutor(4) as pool:
        for _ in pool.map(leave_early, range(40)):
            assert fetch_one(lasting, "select 1") == (1,)


def test_scripts_run_beside_it(transport: Transport, tunnel: Tunnel) -> None:
    with through(tunnel).open(DATABASE, "test", autocommit=True) as connection:
        assert transport.run("echo beside").out == "beside\n"
        assert fetch_one(connection, "select 1") == (1,)


def test_a_connection_ends_at_both_ends(tunnel: Tunnel, server: Server) -> None:
    connection = through(tunnel).open(DATABASE, "goodbye", autocommit=True)
    connection.close()
    question = "select 1 from pg_stat_activity where application_name = 'pgherd pgherd goodbye'"
    until(lambda: server.execute(question) == [], 10, "the server has seen it end")


def test_nobody_listens_there(transport: Transport, server: Server) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = Tunnel(transport, "127.0.0.1", unused.getsockname()[1])
        with pytest.raises(Unreachable, match=r"refused|nobody listens there"):
            dead.check()
        with pytest.raises(errors.Unreachable, match="does not answer"):
            through(dead).open(DATABASE, "test")
        dead.close()
    alive = Tunnel(transport, server.host, server.port)
    alive.check()
    through(alive).open(DATABASE, "test").close()
    alive.close()


@pytest.mark.parametrize("kind", [SSH, OpenSSH])
def test_an_sshd_that_joins_nobody_is_named(
    kind: type[SSH] | type[OpenSSH], host: Sshd, tmp_path_factory: pytest.TempPathFactory, server: Server
) -> None:
    assert host, "there is an sshd"
    closed = sshd.start(tmp_path_factory.mktemp("sshd"), settings="AllowTcpForwarding no\n")
    transport = kind(Login(host=sshd.ADDRESS, port=closed.port, user=closed.user, config=closed.config))
    tunnel = Tunnel(transport, server.host, server.port)
    with pytest.raises(Unreachable) as raised:
        tunnel.check()
    assert "AllowTcpForwarding" in str(raised.value)
    assert transport.run("echo in").out == "in\n"
    tunnel.close()
    transport.close()
    closed.close()


def test_it_listens_here_alone_and_no_longer_than_it_is_open(transport: Transport, server: Server) -> None:
    tunnel = Tunnel(transport, server.host, server.port)
    tunnel.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=5)


@pytest.mark.parametrize("kind", [SSH, OpenSSH])
def test_a_host_that_does_not_answer_is_told_of_before(kind: type[SSH] | type[OpenSSH], login: Login) -> None:
    with pytest.raises(Unreachable, match=r"Is it up, and the address right\?"):
        kind(replace(login, port=1)).prepare()


def test_openssh_lets_its_connection_go_when_all_is_closed(
    host: Sshd, login: Login, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    before = host.log.count("Disconnected from user")
    first, second = OpenSSH(login), OpenSSH(login)
    first.prepare()
    tunnel = Tunnel(first, server.host, server.port)
    with through(tunnel).open(DATABASE, "test", autocommit=True) as connection:
        second.run("true")
        second.close()
        assert fetch_one(connection, "select 1") == (1,), "they share a connection, and one of them still uses it"
    tunnel.close()
    first.close()
    until(lambda: host.log.count("Disconnected from user") > before, 10, "the connection has ended")

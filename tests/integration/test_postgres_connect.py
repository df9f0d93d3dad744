"""Connections to real servers: what is promised on each of them, and which error says why there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.pq import TransactionStatus

from replicator import errors
from replicator.config import Config
from replicator.model import Database
from replicator.postgres import SETTINGS, Connection, Connector, fetch_one, give_way, translated
from tests.fixtures.nodes import NodeFactory
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import WITH_PASSWORD, Server, free_port
from tests.fixtures.wait import until

SECRET = "tr0ub4dor"
OPEN = Connector(Config())


def refused(kind: type[errors.ReplicatorError], database: Database, connector: Connector = OPEN) -> str:
    """The message of the error that opening the database must raise, within seconds."""
    began = time.monotonic()
    with pytest.raises(kind) as raised:
        connector.open(database)
    assert type(raised.value) is kind
    assert time.monotonic() - began < 15
    message = str(raised.value)
    print(message)
    assert "\n" not in message
    assert str(database) in message
    return message


@pytest.fixture
def locked_door(server: Server) -> Iterator[Database]:
    """A database that is reached as a role with a password."""
    server.execute(f"set password_encryption = 'scram-sha-256'; create role {WITH_PASSWORD} login password '{SECRET}'")
    yield server.database("postgres", "door", user=WITH_PASSWORD)
    server.execute(f"drop role {WITH_PASSWORD}")


def with_passfile(folder: Path, password: str) -> Connector:
    path = folder / "passfile"
    path.write_text(f"*:*:*:*:{password}\n")
    path.chmod(0o600)
    return Connector(Config(passfile=path))


@pytest.mark.pg("all")
def test_settings_hold_whatever_the_database_says(node_factory: NodeFactory) -> None:
    node = node_factory("odd")
    for setting in ("datestyle = 'SQL, DMY'", "timezone = 'Asia/Kolkata'", "intervalstyle = 'sql_standard'"):
        node.execute(f'alter database "{node.database.dbname}" set {setting}')
    with closing(OPEN.open(node.database, "testing")) as connection:
        expected = {**SETTINGS, "application_name": "pgherd pgherd testing", "bytea_output": "hex"}
        found = {name: fetch_one(connection, "select current_setting(%s)", [name])[0] for name in expected}
        assert found == expected


@pytest.mark.pg("all")
def test_values_have_one_text_form(node_factory: NodeFactory) -> None:
    with closing(OPEN.open(node_factory().database)) as connection:
        forms = fetch_one(
            connection,
            "select '2024-02-03 04:05:06.789+05:30'::timestamptz::text, '2024-02-03'::date::text,"
            " '\\xDE00'::bytea::text, '1 year 2 days 03:04'::interval::text, (0.1::float8 + 0.2)::text",
        )
    assert forms[:4] == ("2024-02-02 22:35:06.789+00", "2024-02-03", "\\xde00", "1 year 2 days 03:04:00")
    assert float(forms[4]) == 0.1 + 0.2  # exact, but longer before 12: compare floats by their binary form


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_new_connection_is_in_no_transaction(server: Server, autocommit: bool) -> None:
    with closing(OPEN.open(server.database("postgres"), autocommit=autocommit)) as connection:
        assert connection.autocommit is autocommit
        assert connection.info.transaction_status is TransactionStatus.IDLE


def test_the_password_file_opens_the_door(locked_door: Database, tmp_path: Path) -> None:
    with closing(with_passfile(tmp_path, SECRET).open(locked_door)) as connection:
        assert fetch_one(connection, "select current_user") == (WITH_PASSWORD,)


def test_a_wrong_password_is_refused_and_not_repeated(locked_door: Database, tmp_path: Path) -> None:
    message = refused(errors.Refused, locked_door, with_passfile(tmp_path, SECRET + "x"))
    assert "password authentication failed" in message
    assert SECRET not in message


def test_no_password_is_refused(locked_door: Database, tmp_path: Path) -> None:
    assert "password" in refused(errors.Refused, replace(locked_door, options={"passfile": str(tmp_path / "none")}))


def test_an_unknown_database_or_role_is_refused(server: Server) -> None:
    assert 'database "nowhere" does not exist' in refused(errors.Refused, server.database("nowhere"))
    assert 'role "nobody_yet" does not exist' in refused(errors.Refused, server.database("postgres", user="nobody_yet"))


def test_an_unknown_option_is_a_mistake_in_the_configuration(server: Server) -> None:
    assert "sslmood" in refused(errors.ConfigError, server.database("postgres", options={"sslmood": "on"}))


def test_a_closed_port_does_not_answer() -> None:
    message = refused(errors.Unreachable, Database(name="gone", dbname="x", host="127.0.0.1", port=free_port()))
    assert "does not answer: Connection refused. Is the server up" in message


def test_an_unknown_host_does_not_answer() -> None:
    name = "x" * 64  # longer than DNS allows: known without asking it
    refused(errors.Unreachable, Database(name="gone", dbname="x", host=name))


def test_a_missing_socket_does_not_answer(tmp_path: Path) -> None:
    database = Database(name="gone", dbname="x", host=str(tmp_path))
    assert "does not answer: No such file or directory. Is the server up" in refused(errors.Unreachable, database)


def test_a_silent_server_does_not_answer(server: Server, proxy: Callable[[Server], Proxy]) -> None:
    line = proxy(server)
    line.stall()
    refused(errors.Unreachable, line.database(server.database("postgres")))


def test_a_server_on_its_way_down_does_not_answer(private_server: Callable[..., Server]) -> None:
    server = private_server()
    with server.connect() as session:
        thread = threading.Thread(target=server.stop, args=("smart",))
        thread.start()
        until(lambda: "smart shutdown" in server.log.read_text(), 10, "it shuts down")
        message = refused(errors.Unreachable, server.database("postgres"))
        session.close()
        thread.join()
    assert "shutting down" in message


def test_a_full_server_says_so(private_server: Callable[..., Server]) -> None:
    server = private_server(max_connections="5", superuser_reserved_connections="1", max_wal_senders="0")
    server.execute("create role guest login")
    guests = [server.connect(user="guest") for _ in range(4)]
    try:
        message = refused(errors.ServerFull, server.database("postgres", user="guest"))
    finally:
        for guest in guests:
            guest.close()
    assert "max_connections" in message


def test_the_catalog_is_named_in_errors(server: Server) -> None:
    connector = Connector(Config(catalog={"host": server.host, "port": str(server.port), "dbname": "nowhere"}))
    with pytest.raises(errors.Refused, match=r"the catalog \(.*dbname=nowhere.*does not exist"):
        connector.open_catalog()


@pytest.fixture
def session(server: Server, proxy: Callable[[Server], Proxy]) -> Iterator[tuple[Connection, Proxy]]:
    """A connection over a line that can be cut."""
    line = proxy(server)
    with closing(OPEN.open(line.database(server.database("postgres")), autocommit=True)) as connection:
        yield connection, line


def test_a_cut_line_is_a_lost_connection(session: tuple[Connection, Proxy]) -> None:
    connection, line = session
    cut = threading.Timer(0.2, line.cut)
    cut.start()
    with pytest.raises(errors.ConnectionLost), translated("server"):
        connection.execute("select pg_sleep(30)")
    cut.join()
    with pytest.raises(errors.ConnectionLost), translated("server"):
        connection.execute("select 1")


def test_a_terminated_session_is_a_lost_connection(server: Server, session: tuple[Connection, Proxy]) -> None:
    connection, _ = session
    server.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
    with pytest.raises(errors.ConnectionLost), translated("server"):
        connection.execute("select 1")


def test_a_crashed_server_is_a_lost_connection(private_server: Callable[..., Server]) -> None:
    server = private_server()
    with closing(OPEN.open(server.database("postgres"), autocommit=True)) as connection:
        server.kill9()
        with pytest.raises(errors.ConnectionLost), translated("server"):
            connection.execute("select 1")


@pytest.mark.pg("all")
def test_who_gives_way_does_so_before_the_server_looks_for_deadlocks(node_factory: NodeFactory) -> None:
    node = node_factory(schema="create table t (id int primary key); insert into t values (1)")
    with node.connect(autocommit=False) as application, closing(OPEN.open(node.database)) as connection:
        application.execute("update t set id = 1")
        give_way(connection)
        began = time.monotonic()
        with pytest.raises(errors.LockedOut), translated("t"):
            connection.execute("update public.t set id = 1")
        assert 0.3 < time.monotonic() - began < 5
        connection.rollback()
        assert fetch_one(connection, "show lock_timeout") == ("0",)


def test_a_query_without_its_row_is_an_error(server: Server) -> None:
    with closing(OPEN.open(server.database("postgres"))) as connection, pytest.raises(errors.ServerError):
        fetch_one(connection, "select 1 where false")


def test_a_refused_setting_is_said(server: Server) -> None:
    bad = server.database("postgres", options={"options": "-c statement_timeout=soon"})
    assert 'invalid value for parameter "statement_timeout": "soon"' in refused(errors.Unreachable, bad)

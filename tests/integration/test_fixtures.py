"""The fixtures keep their promises: every version starts, databases are fresh, lines break when told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fixtures import cli, forks, pgbench, processes
from tests.fixtures.cli import Program
from tests.fixtures.nodes import NodeFactory, Pair
from tests.fixtures.proxy import Proxy
from tests.fixtures.reaper import alive
from tests.fixtures.servers import WITH_PASSWORD, Server
from tests.fixtures.wait import until


@pytest.mark.pg("all")
def test_each_version_starts(server: Server, server_major: int) -> None:
    ((number,),) = server.execute("select current_setting('server_version_num')::int / 10000")
    assert number == server_major == server.major


def test_pair_is_two_versions(pair: Pair, pair_majors: tuple[int, int]) -> None:
    seen = tuple(node.value("select current_setting('server_version_num')::int / 10000") for node in pair)
    assert seen == pair_majors
    assert [node.database.id for node in pair] == [1, 2]


def test_nodes_of_one_schema_are_clones(node_factory: NodeFactory) -> None:
    schema = "create table t (id int primary key); insert into t values (1); create table u ()"
    first, second = node_factory("first", schema=schema), node_factory("second", schema=schema)
    first.execute("delete from t")
    assert first.value("select count(*) from t") == 0
    assert second.value("select count(*) from t") == 1


def test_databases_are_dropped_though_in_use(server: Server) -> None:
    factory = NodeFactory(server)
    node = factory("busy")
    with node.connect():
        factory.close()
    assert not server.execute("select from pg_database where datname = %s", [node.database.dbname])


def test_server_stops_is_killed_and_returns_to_its_port(private_server: Callable[..., Server]) -> None:
    server = private_server(work_mem="5MB")
    assert server.execute("show work_mem") == [("5MB",)]
    server.execute("create table t as select 1 as id")
    server.restart("immediate")
    server.kill9()
    assert not server.running
    with pytest.raises(psycopg.OperationalError):
        server.connect()
    server.start()
    assert server.execute("select id from t") == [(1,)]


def test_kill9_leaves_no_process(private_server: Callable[..., Server]) -> None:
    server = private_server()
    (pid,) = (pid for pid in processes.descendants(os.getpid()) if str(server.data) in processes.title(pid))
    family = [pid, *processes.descendants(pid)]
    assert len(family) > 3
    server.kill9()
    assert not [member for member in family if alive(member)]


ABANDONED = """
import os, sys
from tests.fixtures.servers import Pool
server = Pool().get(int(sys.argv[1]))
print(server.data, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_killed_run_leaves_no_server_and_no_folder(server_major: int) -> None:
    command = [sys.executable, "-c", ABANDONED, str(server_major)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    data = Path(done.stdout.strip())
    assert data.name == "data"
    until(lambda: not data.parent.parent.exists(), 10, "the folder is gone")
    assert not [pid for pid in map(int, _processes()) if str(data) in processes.title(pid)]


def _processes() -> list[str]:
    return [place.name for place in Path("/proc").glob("[0-9]*")]


def test_one_role_needs_a_password(server: Server) -> None:
    server.execute("set password_encryption = 'scram-sha-256'; create role with_password login password 'right'")
    try:
        server.connect(user=WITH_PASSWORD, password="right").close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            server.connect(user=WITH_PASSWORD, password="wrong")
    finally:
        server.execute("drop role with_password")


def test_line_is_cut_refused_and_healed(server: Server, proxy: Callable[[Server], Proxy]) -> None:
    line = proxy(server)
    assert line.database(server.database("postgres")).port == line.port
    with line.connect() as connection:
        line.cut()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    line.connect().close()
    line.refuse()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        line.connect()
    line.heal()
    with line.connect() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert line.connections == 3


def test_stalled_line_holds_back_what_heal_delivers(server: Server, proxy: Callable[[Server], Proxy]) -> None:
    line = proxy(server)
    with line.connect() as connection:
        line.stall()
        connection.pgconn.send_query(b"select 1")
        connection.pgconn.flush()
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            line.connect(connect_timeout=2)
        connection.pgconn.consume_input()
        assert connection.pgconn.is_busy()
        line.heal()
        until(lambda: _answered(connection), 10, "the answer has come")
        result = connection.pgconn.get_result()
        assert result
        assert result.get_value(0, 0) == b"1"
        assert connection.pgconn.get_result() is None


def _answered(connection: psycopg.Connection[Any]) -> bool:
    """Without waiting in libpq, which would keep the interpreter, and so the line, from running."""
    connection.pgconn.consume_input()
    return not connection.pgconn.is_busy()


def test_line_breaks_after_so_many_bytes(server: Server, proxy: Callable[[Server], Proxy]) -> None:
    line = proxy(server)
    with line.connect() as connection:
        line.cut_after(1_000_000)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select repeat('x', 1000) from generate_series(1, 10000)")


@pytest.mark.pg("10,18")
def test_pgbench_fills_and_runs(node_factory: NodeFactory) -> None:
    node = node_factory("bench")
    pgbench.initialise(node)
    assert node.value("select count(*) from pgbench_accounts") == 100_000
    load = pgbench.run(node, clients=2, transactions=10)
    assert load.transactions == 20
    assert node.value("select count(*) from pgbench_history") == 20


def test_program_finds_and_ends_what_a_daemon_leaves(tmp_path: Path) -> None:
    program = Program(tmp_path)
    daemon = "import subprocess as s; print(s.Popen(['sleep', '60'], stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
    done = program("python", "-W", "ignore", "-c", daemon).ok()
    assert program.leftovers() == {int(done.out): "sleep 60"}
    program.close()
    assert not program.leftovers()


@pytest.mark.parametrize(
    "words", [("replicator", "--help"), ("replicator", "nonsense"), ("provision", "plan", "no.yml"), ("bucardo_ctl",)]
)
def test_a_forked_command_does_what_a_started_one_does(words: tuple[str, ...], tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / words[0]), *words[1:]]
    env = {"HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "COLUMNS": "100"}
    forked, started = (
        run(command, stdin="", seconds=60, cwd=str(tmp_path), env=env) for run in (forks.run, cli.run_started)
    )
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


def test_a_forked_command_that_takes_too_long_is_killed(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f'[catalog]\nhost = "127.0.0.1"\nport = "{silent.getsockname()[1]}"\ndbname = "none"\n'
        (program.folder / "r.toml").write_text(where)
        with pytest.raises(subprocess.TimeoutExpired):
            program("replicator", "--config", "r.toml", "status", seconds=0.5)
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(5)
            while connection.recv(1000):
                pass
    assert not program.leftovers()
    assert program("replicator", "--version").ok().out.startswith("replicator ")


def test_a_server_that_starts_meanwhile_is_not_what_a_command_left(
    program: Program, private_server: Callable[..., Server]
) -> None:
    server = private_server()
    with server.connect():
        assert not program.leftovers()

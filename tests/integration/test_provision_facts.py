"""Facts of a real host (this one) and of a real server: one round trip, absent is a value, an error never is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.change import Change
from provision.errors import HostFailed
from provision.facts import (
    NotYet,
    PathFact,
    Probe,
    Query,
    Server,
    ServerFact,
    ServerState,
    digest_of,
    free_space,
    gather,
    look_at,
    text_of,
)
from provision.resources import Database, ParameterGrant, PgbenchTables, ReplicationRights, Resource, Role
from provision.resources.datadir import server_probe
from provision.resources.roles import role_query
from provision.resources.service import service_query
from provision.resources.steps import StepEvent, carry_out
from provision.secrets import Secret
from provision.transport import Local, Result
from tests.fixtures.servers import Server as RealServer
from tests.fixtures.wait import until


class Counting(Local):
    """This machine, counting what is sent to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def run(self, *args: object, **options: object) -> Result:
        self.sent += 1
        return super().run(*args, **options)  # type: ignore[arg-type]


@pytest.fixture
def host() -> Counting:
    return Counting()


def known(text: str) -> Probe[str]:
    return Probe(text, str, "absent")


def test_all_facts_come_in_one_round_trip(host: Counting, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text ü\n@mark begin 0\n")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    probes = {name: text_of(str(tmp_path / name)) for name in ("file", "link", "none")}
    folder, digest, space = look_at(str(tmp_path)), digest_of(str(tmp_path / "file")), free_space(str(tmp_path / "a/b"))
    found = gather(host, [*probes.values(), folder, digest, space, folder])
    assert host.sent == 1
    assert found[probes["file"]].text == "text ü\n@mark begin 0\n"
    assert (found[probes["file"]].kind, found[probes["file"]].mode) == ("file", 0o640)
    assert found[probes["link"]].kind == "link"
    assert found[probes["none"]] == PathFact()
    assert found[folder].kind == "directory"
    assert len(found[digest].digest) == 64
    assert found[space] > 0


def test_an_error_is_not_an_empty_fact(host: Counting) -> None:
    good, bad, silent = known("echo good"), known("echo half; echo 'it hurts' >&2; exit 3"), known("exit 1")
    found = gather(host, [good, bad, silent])
    assert found[good] == "good"
    with pytest.raises(HostFailed, match="it hurts"):
        found[bad]
    with pytest.raises(HostFailed):
        found[silent]


def test_what_may_not_be_looked_into_is_no_absence(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if not os.access(folder, os.X_OK):
            pytest.fail(f"{folder} is closed to us")
    if os.geteuid() != 0:
        closed.chmod(0)
    probe = look_at(str(closed / "file"))
    found = gather(_AsNobody() if os.geteuid() == 0 else Local(), [probe])
    closed.chmod(0o700)
    with pytest.raises(HostFailed, match="Permission denied"):
        found[probe]


class _AsNobody(Local):
    def run(self, script: str, **options: object) -> Result:  # type: ignore[override]
        return super().run(script, as_user="nobody", **options)  # type: ignore[arg-type]


def test_no_questions_are_not_asked(host: Counting) -> None:
    gather(host, [])
    assert host.sent == 0


@pytest.fixture
def real(private_server: Callable[..., RealServer], tmp_path: Path) -> Iterator[Server]:
    """A running server of its own, as the resources see one."""
    running = private_server()
    (tmp_path / "passfile").write_text("*:*:*:*:any\n")
    (tmp_path / "passfile").chmod(0o600)
    yield _as_resources_see_it(running, tmp_path)


def _as_resources_see_it(running: RealServer, folder: Path) -> Server:
    return Server(
        bin=str(running.binaries.bin),
        data=str(running.folder / "data"),
        log=str(running.folder / "log"),
        host="127.0.0.1",
        port=running.port,
        passfile=str(folder / "passfile"),
    )


def query(server: Server, dbname: str, sql: str) -> Query[str]:
    return Query(server, dbname, sql, str, "absent")


@pytest.mark.pg("16,18")
def test_queries_to_a_server_share_the_round_trip(host: Counting, real: Server) -> None:
    one, none = query(real, "postgres", "select 'one';"), query(real, "no_such_db", "select 1;")
    other, odd = query(real, "template1", "select current_database();"), query(real, "postgres", "select E'a\\nb|c';")
    wrong = query(real, "postgres", "select no_such_column;")
    found = gather(host, [one, none, wrong, other, odd, server_probe(real)])
    assert host.sent == 1
    assert (found[one], found[other], found[odd]) == ("one", "template1", "a\nb|c")
    assert found[none] == "absent", "a database that is not there has no facts"
    assert found[server_probe(real)].state is ServerState.RUNNING
    with pytest.raises(HostFailed, match="no_such_column"):
        found[wrong]


@pytest.mark.pg("16")
def test_a_stopped_server_is_waited_for_and_a_bare_one_has_nothing(
    host: Counting, real: Server, private_server: Callable[..., RealServer], tmp_path: Path
) -> None:
    os.kill(int((Path(real.data) / "postmaster.pid").read_text().split()[0]), 9)
    asked = query(real, "postgres", "select 1;")
    state = server_probe(real)
    until(lambda: gather(host, [state])[state].state is ServerState.STOPPED, 10, "the server is seen to be gone")
    with pytest.raises(NotYet, match="the server is stopped"):
        gather(host, [asked])[asked]
    bare = Server(bin=real.bin, data=str(tmp_path / "none"), log="", host="127.0.0.1", port=real.port, passfile="x")
    asked = query(bare, "postgres", "select 1;")
    found = gather(host, [asked, server_probe(bare)])
    assert found[asked] == "absent"
    assert found[server_probe(bare)] == ServerFact(ServerState.BARE)


@pytest.mark.pg("16")
def test_resources_converge_on_a_real_server(host: Counting, real: Server) -> None:
    password = Secret("its password: 'quoted' \\ and \"double\"")
    wanted = [
        Role(server=real, role="Odd Owner"),
        Role(server=real, role="herder", password=password, superuser_before=15),
        ParameterGrant(server=real, role="herder", parameter="session_replication_role"),
        Database(server=real, dbname="Shop's", owner="Odd Owner"),
        PgbenchTables(server=real, dbname="Shop's", owner="Odd Owner", scale=1, fill=True),
        ReplicationRights(server=real, dbname="Shop's", role="herder", owner="Odd Owner", relations=None),
    ]
    rounds = []
    for _ in range(3):
        found = gather(host, [probe for resource in wanted for probe in resource.probes()])
        changes = [change for resource in wanted for change in resource.plan(found)]
        rounds.append([change.summary for change in changes])
        if changes:
            carry_out(host, changes, lambda event: None)
    assert [len(summaries) for summaries in rounds] == [6, 0, 0], rounds
    assert found[role_query(real, "herder")].member_of == ("Odd Owner",)


@pytest.mark.pg("16")
def test_what_belongs_to_a_superuser_is_given_to_the_owner(host: Counting, real: Server) -> None:
    setup: list[Resource] = [
        Role(server=real, role="owner"),
        Role(server=real, role="herder"),
        Database(server=real, dbname="shop", owner="owner"),
    ]
    found = gather(host, [probe for resource in setup for probe in resource.probes()])
    carry_out(host, [change for resource in setup for change in resource.plan(found)], lambda event: None)
    host.run(real.psql("create table a (id serial primary key); create table b (id int);", dbname="shop"))
    rights = ReplicationRights(server=real, dbname="shop", role="herder", owner="owner", relations=("a", "public.none"))
    (change,) = rights.plan(gather(host, rights.probes()))
    assert (change.after or "").splitlines() == [
        "grant owner to herder;",
        "grant create, connect on database shop to herder;",
        "alter table public.a owner to owner;",
    ]
    carry_out(host, [change], lambda event: None)
    assert rights.plan(gather(host, rights.probes())) == []


def test_steps_stop_at_the_first_that_fails_and_tell_what_it_said(host: Counting, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    seen: list[StepEvent] = []
    changes = [
        Change(summary="first", script="echo working; true"),
        Change(summary="second", script="echo 'it hurts' >&2; exit 1"),
        Change(summary="third", script=f"touch {witness}"),
    ]
    with pytest.raises(HostFailed, match="second: it hurts"):
        carry_out(host, changes, seen.append)
    assert [(event.number, event.kind) for event in seen if event.kind != "says"] == [
        (0, "begins"),
        (0, "ends"),
        (1, "begins"),
        (1, "fails"),
    ]
    assert "working" in [event.text for event in seen]
    assert not witness.exists()
    assert host.sent == 1


@pytest.mark.pg("16")
def test_the_configuration_in_force_is_observed(host: Counting, real: Server) -> None:
    asked = service_query(real)
    first = gather(host, [asked])[asked]
    assert not first.stale and not first.pending and not first.overridden
    path = Path(real.data) / "postgresql.conf"
    path.write_text(path.read_text() + "max_connections = 77\nwork_mem = 5MB\n")
    later = path.stat().st_mtime + 2
    os.utime(path, (later, later))
    assert gather(host, [asked])[asked].stale, "the file is newer than what the server has read"
    host.run(real.psql("select pg_reload_conf(); alter system set work_mem = '6MB';"))
    until(lambda: gather(host, [asked])[asked].pending == ("max_connections",), 10, "the restart that is due")
    assert gather(host, [asked])[asked].overridden == ("work_mem",)

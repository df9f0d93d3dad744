"""Fixtures of every tier: servers of each version, fresh databases on them, and what a test breaks them with.

Servers start when the first test asks for them and live as long as the run; databases live as long as a test. The work
is done in `tests/fixtures`; here are only the names that tests ask for.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from replicator.config import Config
from replicator.model import Capture, Database
from replicator.postgres import Connector
from tests.fixtures import versions
from tests.fixtures.binaries import Unavailable
from tests.fixtures.bucardo import Ctl
from tests.fixtures.cli import Program
from tests.fixtures.lab import Build, Lab, build
from tests.fixtures.missing import IN_CI, give_up
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import Pool, Server, ServerFailed

# The commands of this environment come first, as if it were activated.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
# Hundreds of processes start: each would compile the whole of the program again where its bytecode may not be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A busy machine is not a failure; and in CI the same commit gives the same answer twice.
hypothesis.settings.register_profile("pgherd", deadline=None, derandomize=IN_CI)
hypothesis.settings.load_profile("pgherd")


class Servers:
    """The servers of the run, with the run's answer to those that cannot be had."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def get(self, major: int, label: str = "main") -> Server:
        """The shared server of a version."""
        return self._or_give_up(lambda: self._pool.get(major, label))

    def private(self, major: int, **settings: str) -> Server:
        """A server for one test, which discards it."""
        return self._or_give_up(lambda: self._pool.private(major, **settings))

    def discard(self, servers: list[Server]) -> None:
        """Remove private servers."""
        self._pool.discard(servers)

    def _or_give_up(self, get: Callable[[], Server]) -> Server:
        try:
            return get()
        except Unavailable as error:
            give_up(error)
        except ServerFailed as error:
            pytest.exit(str(error), returncode=3)


def pytest_configure() -> None:
    """Refuse a wish that cannot be read before anything runs; let commands be interrupted as on a terminal."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, whose children inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        versions.requested()
    except ValueError as error:
        raise pytest.UsageError(f"PGHERD_TEST_PG: {error}") from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on the versions that its `pg` mark names, and with both ways of capture if it is marked so."""
    mark = metafunc.definition.get_closest_marker("pg")
    wish = ",".join(str(argument) for argument in mark.args) if mark else None
    if "pair" in metafunc.fixturenames:
        metafunc.parametrize("pair_majors", versions.pairs(wish), ids=lambda pair: f"pg{pair[0]}-pg{pair[1]}")
    elif "server_major" in metafunc.fixturenames:
        metafunc.parametrize("server_major", versions.single(wish), ids=lambda major: f"pg{major}")
    both = metafunc.definition.get_closest_marker("both_captures")
    if both and both.args != (False,) and "capture" in metafunc.fixturenames:
        metafunc.parametrize("capture", list(Capture), ids=str)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Servers by version: `servers.get(13)`."""
    pool = Pool()
    yield Servers(pool)
    pool.close()


@pytest.fixture
def server_major() -> int:
    """The version that the test runs on."""
    return versions.default()


@pytest.fixture
def server(servers: Servers, server_major: int) -> Server:
    """The server that tests share. Do not stop it: `private_server` is for that.

    It lives as long as the run; the fixture as long as a test. (One of the session would stay what it was when a
    process is handed tests of another version.)
    """
    return servers.get(server_major)


@pytest.fixture
def second_server(servers: Servers, server_major: int) -> Server:
    """Another server of the same version."""
    return servers.get(server_major, "second")


@pytest.fixture
def private_server(servers: Servers, server_major: int) -> Iterator[Callable[..., Server]]:
    """Makes servers that a test may stop, kill and configure: `private_server(shared_buffers="8MB")`."""
    made: list[Server] = []

    def make(major: int | None = None, **settings: str) -> Server:
        made.append(servers.private(major or server_major, **settings))
        return made[-1]

    yield make
    servers.discard(made)


@pytest.fixture
def node_factory(server: Server) -> Iterator[NodeFactory]:
    """Makes databases: `node_factory("master", schema="create table ...")`."""
    factory = NodeFactory(server)
    yield factory
    factory.close()


@pytest.fixture
def nodes(node_factory: NodeFactory) -> Pair:
    """Two empty databases of one server, `nodes.source` and `nodes.target`."""
    return node_factory.pair()


@pytest.fixture
def pair(servers: Servers, pair_majors: tuple[int, int]) -> Iterator[Pair]:
    """Two empty databases of servers of different versions: contract tests run on each pair of the diagonal."""
    source, target = (servers.get(major) for major in pair_majors)
    factory = NodeFactory(source)
    yield factory.pair(source, target)
    factory.close()


@pytest.fixture
def databases() -> Callable[..., dict[str, Database]]:
    """Turns nodes into what a Topology holds: `databases(master, slave)` is {"master": Database, ...}, with ids."""
    return lambda *nodes: {node.name: node.database for node in nodes}


@pytest.fixture
def catalog_node(node_factory: NodeFactory) -> Node:
    """An empty database for the catalog."""
    return node_factory("catalog")


@pytest.fixture
def connector(catalog_node: Node, tmp_path: Path) -> Connector:
    """Opens connections to nodes, and to the catalog, which is an empty database."""
    place = catalog_node.database
    catalog = {"host": place.host, "port": str(place.port), "dbname": place.dbname, "user": place.user}
    return Connector(Config(catalog=catalog, run_dir=tmp_path / "run", log_file=tmp_path / "replicator.log"))


@pytest.fixture
def proxy() -> Iterator[Callable[[Server], Proxy]]:
    """Puts a line that can be cut before a server: `proxy(server).stall()`."""
    made: list[Proxy] = []

    def make(server: Server) -> Proxy:
        made.append(Proxy(server.host, server.port))
        return made[-1]

    yield make
    for line in made:
        line.close()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Runs the command lines: `program("replicator", "status")`."""
    runner = Program(tmp_path)
    yield runner
    runner.close()


@pytest.fixture
def ctl(catalog_node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Types commands of bucardo_ctl: `ctl("list dbs")`."""
    made = Ctl(tmp_path, catalog_node, capsys)
    monkeypatch.setenv("PGHERD_CONFIG", str(made.config))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def capture() -> Capture:
    """How a lab's source is captured, unless a test says."""
    return Capture.TRIGGERS


@pytest.fixture
def lab(connector: Connector, capture: Capture) -> Iterator[Build]:
    """Makes a lab of syncs run by hand: `lab([source, target], SyncType.SWAP, ("t",))`."""
    made: list[Lab] = []

    def make(*args: Any, **options: Any) -> Lab:
        made.append(build(connector, *args, **{"capture": capture, **options}))
        return made[-1]

    yield make
    for each in made:
        each.close()

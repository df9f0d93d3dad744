"""Fixtures of several modules: an sshd of our own and each way to get to it, and a server on which the bell rings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.transport import Local, Transport
from provision.transport.login import Login
from provision.transport.openssh import OpenSSH
from provision.transport.ssh import SSH
from tests.fixtures import sshd
from tests.fixtures.missing import give_up
from tests.fixtures.nodes import NodeFactory
from tests.fixtures.servers import Server
from tests.fixtures.sshd import Sshd


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd of our own."""
    try:
        running = sshd.start(tmp_path_factory.mktemp("sshd"))
    except sshd.NoSshd as missing:
        give_up(missing)
    yield running
    running.close()


@pytest.fixture
def login(host: Sshd) -> Login:
    """How to log in there."""
    return Login(host=sshd.ADDRESS, port=host.port, user=host.user, config=host.config)


@pytest.fixture(params=["local", "ssh", "openssh"])
def transport(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
    """Each transport in turn."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    kinds: dict[str, Callable[[], Transport]] = {
        "local": Local,
        "ssh": lambda: SSH(request.getfixturevalue("login")),
        "openssh": lambda: OpenSSH(request.getfixturevalue("login")),
    }
    made = kinds[request.param]()
    yield made
    made.close()


@pytest.fixture(scope="module")
def without_two_phases(servers: Any) -> Iterator[Server]:
    server: Server = servers.private(16, max_prepared_transactions="0")
    yield server
    servers.discard([server])


@pytest.fixture
def plain(without_two_phases: Server) -> Iterator[NodeFactory]:
    """Databases of a server without two-phase commit."""
    factory = NodeFactory(without_two_phases)
    yield factory
    factory.close()

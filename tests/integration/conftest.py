"""Fixtures of tests that reach a host: an sshd of our own, and each way to get there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.transport import Local, Transport
from provision.transport.login import Login
from provision.transport.openssh import OpenSSH
from provision.transport.ssh import SSH
from tests.fixtures import sshd
from tests.fixtures.missing import give_up
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

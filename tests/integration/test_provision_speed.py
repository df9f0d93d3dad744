"""How many commands hosts are sent, at 3 and at 10 of them, by both ways of connecting.

One each when there is nothing to do. The engine is the whole one, the stage is a small one: a folder and a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from provision.apply import Run, Stop, deploy
from provision.apply.events import PlaceEnded
from provision.inventory import load
from provision.resources import Directory, File, Resource
from provision.tasks import Node, Site
from tests.fixtures import remote, sshd
from tests.fixtures.missing import give_up
from tests.fixtures.remote import RemoteSite

HOSTS = [f"h{number}" for number in range(10)]
MOST_COMMANDS = 12


@pytest.fixture(scope="module")
def site() -> Iterator[RemoteSite]:
    if os.geteuid() != 0:
        give_up("only root can have hosts with a release of their own on one machine")
    try:
        made = remote.site(HOSTS, first=61)
    except sshd.NoSshd as missing:
        give_up(missing)
    yield made
    made.close()


def stage(node: Node) -> list[Resource]:
    folder = f"/run/lock/{node.name}"  # of each host alone
    return [Directory(path=folder), File(path=f"{folder}/file", text=f"{node.name}\n", mode=0o600)]


def run(site: RemoteSite) -> list[PlaceEnded]:
    found = Site.of(load(site.inventory)).deploying()
    whole = Run(found, found.inventory.hosts, ("base",), Stop(), forks=20)
    return [event for event in deploy(whole) if isinstance(event, PlaceEnded)]


@pytest.mark.parametrize("connection", ["ssh", "openssh"])
@pytest.mark.parametrize("number", [3, 10])
def test_commands(
    site: RemoteSite, number: int, connection: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr("provision.plan.TASKS", {"base": stage})
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    names = HOSTS[:number]
    site.write(names=names, replication=False)
    text = site.inventory.read_text().replace("connection: ssh", f"connection: {connection}")
    site.inventory.write_text(text)
    before = site.commands()
    first = run(site)
    assert {place.place for place in first} == set(names) and all(place.settled for place in first), first
    assert all(site.commands()[name] - before[name] <= MOST_COMMANDS for name in names)
    before = site.commands()
    second = run(site)
    assert not any(result.changes for place in second for result in place.results)
    assert {name: site.commands()[name] - before[name] for name in names} == dict.fromkeys(names, 1)

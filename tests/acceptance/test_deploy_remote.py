"""`provision` on hosts of their own, by real sshds: how many commands a run takes, rolling runs, what is remembered of
hosts that failed, logs and reports, and two runs that meet on one host."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fixtures import remote, sshd
from tests.fixtures.cli import Result
from tests.fixtures.remote import RemoteSite

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")
NAMES = ("one", "two", "three")
UNCHANGED = "Everything is as declared. Nothing was changed."
MOST_COMMANDS = 12


@pytest.fixture(scope="module")
def fresh() -> Iterator[tuple[RemoteSite, Result]]:
    """Three hosts, and what the first deploy printed."""
    if os.geteuid() != 0:
        pytest.skip("only root can have hosts with a release of their own on one machine")
    try:
        site = remote.site(NAMES)
    except sshd.NoSshd as missing:
        if IN_CI:
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    try:
        yield site, site.deploy("-v", "--report", site.folder / "first.json")
    finally:
        site.close()


@pytest.fixture
def site(fresh: tuple[RemoteSite, Result]) -> RemoteSite:
    found, first = fresh
    first.ok()
    found.write()
    return found


def sent(site: RemoteSite, before: dict[str, int]) -> dict[str, int]:
    return {name: count - before[name] for name, count in site.commands().items()}


def test_a_first_run_takes_few_commands(fresh: tuple[RemoteSite, Result]) -> None:
    site, first = fresh
    first.ok()
    assert all(count <= MOST_COMMANDS for count in site.commands().values()), site.commands()


def test_a_run_that_changes_nothing_takes_one_command_a_host(site: RemoteSite) -> None:
    site.deploy().ok()
    before = site.commands()
    assert UNCHANGED in site.deploy().ok().out
    assert sent(site, before) == dict.fromkeys(NAMES, 1)


def test_check_and_plan_take_one_command_a_host_too(site: RemoteSite) -> None:
    before = site.commands()
    site("check", "--tags", remote.TAGS).ok()
    assert sent(site, before) == dict.fromkeys(NAMES, 1)

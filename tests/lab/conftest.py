"""Fixtures for tests on real hosts. All of them run in one process: they share the machine's processors badly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import IN_CI
from tests.lab import cache, needs
from tests.lab.cache import Build
from tests.lab.control import Control
from tests.lab.lab import Lab, unused_name

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pytest-xdist hand the tests of this folder to one process (`--dist loadgroup`)."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("lab"))


@pytest.fixture(scope="session")
def build() -> Build:
    """Image and repository; made once, then kept."""
    if reason := needs.reason_against():
        if IN_CI:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return cache.get()


@pytest.fixture(scope="module")
def lab(build: Build) -> Iterator[Lab]:
    """Three fresh hosts, booted, for the tests of a module: `lab["master"].run("hostname")`."""
    made = Lab(unused_name(), build)
    try:
        yield made.up()
    finally:
        made.down()


@pytest.fixture
def control(lab: Lab, tmp_path: Path) -> Iterator[Control]:
    """`provision` inside the lab's network: `control("provision", "deploy", control.inventory)`."""
    runner = Control(tmp_path, lab)
    yield runner
    runner.close()


@pytest.fixture
def provision(control: Control) -> Callable[..., object]:
    """`provision deploy inventories/lab.yml`: `provision("deploy")`."""
    return lambda word, *options, **how: control("provision", word, control.inventory, *options, **how)

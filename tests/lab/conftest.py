"""Fixtures for tests on real hosts. `make test` runs these tests in one process, after all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.fixtures.cli import Result
from tests.fixtures.missing import IN_CI
from tests.lab import cache, needs
from tests.lab.cache import Build
from tests.lab.control import Control
from tests.lab.lab import Lab, unused_name


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


@pytest.fixture(scope="module")
def control(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """The machine that one deploys from, for a module's tests: `control("provision", "facts", control.inventory)`."""
    runner = Control(tmp_path_factory.mktemp("control"), lab)
    yield runner
    runner.close()


@pytest.fixture(scope="module")
def provision(control: Control) -> Callable[..., Result]:
    """`provision deploy inventories/lab.yml`: `provision("deploy")`."""
    return lambda word, *options, **how: control("provision", word, control.inventory, *options, **how)

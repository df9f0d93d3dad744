"""What `make chaos` can be told: ARGS="--failpoint commit.before" kills at that one only."""

from __future__ import annotations

import pytest

from replicator.failpoint import NAMES


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failpoint", choices=NAMES, metavar="NAME", help="kill at this failpoint only")

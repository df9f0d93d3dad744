"""Every version takes the settings that the rule makes for it, and runs with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provision.tuning import tuned
from tests.fixtures.servers import Server


@pytest.mark.pg("10,11,14,18")
def test_a_server_runs_with_what_the_rule_says(private_server: Callable[..., Server], server_major: int) -> None:
    rows = tuned(1024, 2, connections=200, major=server_major)
    server = private_server(**{row.name: str(row.value) for row in rows})
    with server.connect() as connection:
        for row in rows:
            found = connection.execute("select current_setting(%s)", [row.name]).fetchone()
            assert found and found[0] == str(row.value), row.name

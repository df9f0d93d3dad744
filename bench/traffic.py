"""Work for the source: the real pgbench, and the waiting until what it wrote has arrived."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from tests.fixtures.binaries import required
from tests.fixtures.nodes import Node
from tests.fixtures.wait import until


@dataclass(frozen=True)
class Load:
    """What a run of pgbench did. rate: transactions a second, without connecting. lag: how late it was, in seconds."""

    transactions: int
    rate: float
    lag: float


def pgbench(
    node: Node,
    *,
    clients: int = 4,
    transactions: int = 0,
    seconds: int = 0,
    rate: float = 0,
    script: str = "",
) -> Load:
    """Run TPC-B (or a script's text) to its end: so many transactions in all, or for so long."""
    return Running(node, clients=clients, transactions=transactions, seconds=seconds, rate=rate, script=script).finish()


class Running:
    """pgbench in the background; with synchronous_commit off, so that the disk does not set the pace."""

    def __init__(
        self,
        node: Node,
        *,
        clients: int = 4,
        transactions: int = 0,
        seconds: int = 0,
        rate: float = 0,
        script: str = "",
    ) -> None:
        programs, place = required(16), node.database
        args = ["-n", "-M", "prepared", "-c", str(clients), "-j", "1"]
        args += ["-t", str(max(1, transactions // clients))] if transactions else ["-T", str(seconds)]
        args += ["-R", f"{rate:.1f}"] if rate else []
        args += ["-f", "/dev/stdin"] if script else []
        self._script = script
        self._process = subprocess.Popen(
            [
                programs.program("pgbench"),
                *args,
                "-h",
                place.host,
                "-p",
                str(place.port),
                "-U",
                "postgres",
                place.dbname,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**programs.environment(), "PGOPTIONS": "-c synchronous_commit=off"},
        )
        assert self._process.stdin
        self._process.stdin.write(script)
        self._process.stdin.close()
        self._process.stdin = None

    def finish(self) -> Load:
        """Wait for its end. Raises AssertionError with its output when it failed."""
        output, _ = self._process.communicate()
        assert self._process.returncode == 0, output
        done = re.search(r"transactions actually processed: (\d+)", output)
        rate = re.search(r"tps = ([\d.]+)", output)
        late = re.search(r"schedule lag: avg ([\d.]+)", output)
        assert done and rate, output
        return Load(int(done[1]), float(rate[1]), float(late[1]) / 1000 if late else 0.0)

    def stop(self) -> None:
        """Stop it now."""
        self._process.terminate()
        self._process.communicate()


def mark(source: Node, number: int = 1) -> None:
    """Write the row whose arrival says that all before it has arrived."""
    source.execute("insert into bench_marker (id) values (%s)", [number])


def await_mark(targets: Sequence[Node], number: int = 1, seconds: float = 1800) -> None:
    """Wait until the row is on every target."""
    for target in targets:
        with target.connect() as connection:
            query = "select exists (select from bench_marker where id = %s)"

            def there() -> bool:
                ((found,),) = connection.execute(query, [number]).fetchall()  # noqa: B023
                return bool(found)

            until(there, seconds, f"{target} has caught up", every=0.01)


def check_equal(nodes: Sequence[Node], tables: Sequence[str], seconds: float = 60) -> None:
    """Compare what the nodes hold, by a digest of every table. A contender that lost a row is out of the race."""
    for table in tables:
        query = sql.SQL("select count(*), sum(hashtextextended(t::text, 0)) from {} t").format(sql.Identifier(table))
        wanted = nodes[0].execute(query)
        for node in nodes[1:]:
            until(lambda node=node: node.execute(query) == wanted, seconds, f"{table} is equal on {node}", every=0.2)  # type: ignore[misc] # noqa: B023


def elapsed(since: float) -> float:
    """Seconds since a moment of the monotonic clock."""
    return time.monotonic() - since

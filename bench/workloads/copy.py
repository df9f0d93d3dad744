"""First copies against psql's COPY piped into COPY, with the processor time that each end and the program between took.

The pipe is what physics allows one connection: rows read, sent and written once, in order of the heap. Which of the
three is busy all the time is what a copy waits for.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence

from bench import processor
from bench.figures import OURS, Better, Sample, Target
from bench.workloads import Race, Workload
from replicator.config import Config
from replicator.model import OneTimeCopy, SyncType
from replicator.postgres import Connector
from tests.fixtures import lab
from tests.fixtures.binaries import required
from tests.fixtures.nodes import Node

ROW = "(id int primary key, number int not null, filler char(84) not null)"
EMPTY = "truncate {}"


def _schema(tables: int, rows: int) -> str:
    return "".join(
        f"create table t{table} {ROW}; insert into t{table} select i, i, 'x' from generate_series(1, {rows}) i;"
        for table in range(tables)
    )


def _run(race: Race) -> Iterator[Sample]:
    rows = race.transactions * 5
    for number in range(race.rounds):
        for tables in (1, 3):
            race.say(f"round {number + 1} of {race.rounds}: {tables} tables")
            names = [f"t{table}" for table in range(tables)]
            for contender in (OURS, "pipe") if number % 2 else ("pipe", OURS):
                with race.grounds.databases(_schema(tables, rows // tables)) as nodes:
                    for name in names:
                        nodes[1].execute(EMPTY.format(name))
                    size = sum(nodes[0].value("select pg_table_size(%s::regclass)", [name]) for name in names) / 1e6
                    before = _processor(nodes)
                    seconds = _ours(nodes, names) if contender == OURS else _pipe(nodes, names)
                    spent = [after - earlier for earlier, after in zip(before, _processor(nodes), strict=True)]
                metric = _metric(tables)
                yield Sample("copy", metric, contender, size / seconds, "MB/s", Better.MORE, round=number)
                for who, each in zip(("source", "target", "between"), spent, strict=True):
                    yield Sample("copy", f"{metric}: processor, {who}", contender, each, "s", round=number)


def _processor(nodes: list[Node]) -> list[float]:
    return [*(processor.of_server(node.server) for node in nodes), processor.of_program()]


def _metric(tables: int) -> str:
    return "first copy, one table" if tables == 1 else f"first copy, {tables} tables"


def _ours(nodes: list[Node], names: Sequence[str]) -> float:
    made = lab.build(
        Connector(Config(catalog={})), nodes, SyncType.PUSHDELTA, tuple(names), onetimecopy=OneTimeCopy.EMPTY
    )
    try:
        began = time.monotonic()
        made.sync()[0].prepare()
        return time.monotonic() - began
    finally:
        made.close()


def _pipe(nodes: list[Node], names: Sequence[str]) -> float:
    programs = required(16)

    def psql(node: Node, command: str, **streams: object) -> subprocess.Popen[bytes]:
        place = node.database
        where = ["-h", place.host, "-p", str(place.port), "-U", "postgres", "-d", place.dbname]
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [programs.program("psql"), "-X", "-q", *where, "-c", command], env=programs.environment(), **streams
        )

    began = time.monotonic()
    for name in names:
        out = psql(nodes[0], f"copy {name} to stdout", stdout=subprocess.PIPE)
        into = psql(nodes[1], f"copy {name} from stdin", stdin=out.stdout)
        assert out.stdout
        out.stdout.close()
        assert (into.wait(), out.wait()) == (0, 0)
    return time.monotonic() - began


WORKLOAD = Workload(
    "copy",
    "megabytes of table a second that a first copy moves, against psql's COPY piped into COPY",
    _run,
    (Target("copy", _metric(1), "pipe", 0.9), Target("copy", _metric(3), "pipe", 1.3)),
)

"""Processor time, by /proc: the measure that other work on the machine disturbs least. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.fixtures import reaper
from tests.fixtures.servers import Server

ATTEMPTS = 10
WITH_ENDED = slice(11, 15)
"""Where `stat` has, after the name, user and system time of a process and of its children that have ended."""


def of_processes(pids: Iterable[int]) -> float:
    """Seconds that processes have used. Raises OSError when one is gone.

    By the scheduler's count, in ns: a tick of 10 ms is more than an idle process computes in many seconds.
    """
    return sum(_scheduled(pid) for pid in pids)


def _scheduled(pid: int) -> float:
    counts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    if not counts:
        raise ProcessLookupError(pid)
    return sum(int(count.split()[0]) for count in counts) / 1e9


def of_server(server: Server) -> float:
    """Seconds that a server has used since its start, with all backends that have ended meanwhile."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    for _ in range(ATTEMPTS):
        with suppress(FileNotFoundError, ProcessLookupError):
            return _with_ended(postmaster) + of_processes(reaper.descendants(postmaster))
    raise RuntimeError("the server's processes do not stay for long enough to be counted")


def of_program() -> float:
    """Seconds that this program and the children for which it has waited have used."""
    return sum(os.times()[:4])


def _with_ended(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[WITH_ENDED]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

"""Processor time, by /proc: the measure that other work on the machine disturbs least. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.fixtures import reaper
from tests.fixtures.servers import Server

ATTEMPTS = 10
OWN, WITH_ENDED = slice(11, 13), slice(11, 15)
"""Where `stat` has, after the name, user and system time of a process, and of its children that have ended."""


def of_processes(pids: Iterable[int]) -> float:
    """Seconds that processes have used. Raises OSError when one is gone."""
    return sum(_seconds(pid, OWN) for pid in pids)


def of_server(server: Server) -> float:
    """Seconds that a server has used since its start, with all backends that have ended meanwhile."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    for _ in range(ATTEMPTS):
        with suppress(FileNotFoundError, ProcessLookupError):
            return _seconds(postmaster, WITH_ENDED) + of_processes(reaper.descendants(postmaster))
    raise RuntimeError("the server's processes do not stay for long enough to be counted")


def of_program() -> float:
    """Seconds that this program and the children for which it has waited have used."""
    return sum(os.times()[:4])


def _seconds(pid: int, fields: slice) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[fields]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

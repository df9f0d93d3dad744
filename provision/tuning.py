"""Server settings that follow from the size of a host: one rule, pure. docs/reference/tuning.md has its sources.

A host is taken to serve PostgreSQL and little else. What the rule says is a starting point that is wrong for nobody by
much; whoever has measured better writes it under `postgresql.settings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

GB = 1024
LEAST_WORK_MEM = 4
LARGEST_MAINTENANCE = 1 * GB
LARGEST_WAL = 2 * GB
"""The size of the disk is not asked for, and much memory can stand beside a small one."""
MOST_PER_QUERY = 4
DEFAULT_WORKERS = 8


@dataclass(frozen=True)
class Tuned:
    """A setting, its value as postgresql.conf has it, and why."""

    name: str
    value: str | int | float
    why: str = ""


def tuned(memory_mb: int, cpus: int, *, connections: int, major: int = 0) -> tuple[Tuned, ...]:
    """The settings for a host. connections: max_connections; major: of PostgreSQL, 0 when it is not known."""
    memory = steady(memory_mb)
    return (*_memory(memory, cpus, connections), *_wal(memory), *_workers(cpus, major))


def _memory(memory: int, cpus: int, connections: int) -> Iterator[Tuned]:
    shared = shared_buffers(memory)
    yield Tuned("shared_buffers", size(shared), "a quarter of the memory; of less than 1 GB, 15 percent")
    yield Tuned("effective_cache_size", size(memory * 3 // 4), "what the system caches besides; nothing is allocated")
    work = (memory - shared) // (3 * max(connections, 1)) // max(per_query(cpus), 1)
    yield Tuned("work_mem", size(max(LEAST_WORK_MEM, work)), "for each sort and hash of each connection")
    maintenance = min(LARGEST_MAINTENANCE, max(64, memory // 16))
    yield Tuned("maintenance_work_mem", size(maintenance), "for vacuum and create index, several at once")


def _wal(memory: int) -> Iterator[Tuned]:
    largest = min(LARGEST_WAL, max(1 * GB, memory // 8))
    yield Tuned("max_wal_size", size(largest), "a checkpoint at the latest when so much was written")
    yield Tuned("min_wal_size", size(largest // 4), "kept for writing anew")
    yield Tuned("checkpoint_completion_target", 0.9, "a checkpoint takes its time")


def _workers(cpus: int, major: int) -> Iterator[Tuned]:
    yield Tuned("max_worker_processes", max(DEFAULT_WORKERS, cpus))
    yield Tuned("max_parallel_workers", cpus, "a process for each CPU")
    yield Tuned("max_parallel_workers_per_gather", per_query(cpus), "half of them for one query, 4 at most")
    if major >= 11:
        yield Tuned("max_parallel_maintenance_workers", per_query(cpus), "the same for one create index")


def shared_buffers(memory: int) -> int:
    """In megabytes."""
    return memory // 4 if memory >= 1 * GB else max(16, memory * 15 // 100)


def per_query(cpus: int) -> int:
    """The parallel workers of one query: none on a single CPU."""
    return min(MOST_PER_QUERY, cpus // 2)


def steady(memory_mb: int) -> int:
    """The memory, rounded down to a sixteenth of the power of two below it.

    A kernel that keeps some megabytes more for itself must not lead to a restart for another shared_buffers.
    """
    step = max(1, (1 << (memory_mb.bit_length() - 1)) // 16)
    return memory_mb // step * step


def size(megabytes: int) -> str:
    """As people write it."""
    return f"{megabytes // GB}GB" if megabytes % GB == 0 and megabytes else f"{megabytes}MB"

"""What contenders compete in. A workload yields samples; a round of it lets every contender run once.

Contenders take turns within a round, each round begins with another one, and whatever else the machine does hits all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.contenders import Contender
from bench.figures import OURS, Sample, Target
from bench.grounds import Grounds


@dataclass(frozen=True, kw_only=True)
class Race:
    """What a workload needs. transactions: how large the work is. say: takes a line on what is going on."""

    grounds: Grounds
    contenders: Sequence[Contender]
    rounds: int
    transactions: int
    say: Callable[[str], None]

    def turns(self) -> Iterator[tuple[int, Contender]]:
        """Round and contender, in the order in which they run."""
        for number in range(self.rounds):
            shift = number % max(1, len(self.contenders))
            for contender in (*self.contenders[shift:], *self.contenders[:shift]):
                self.say(f"round {number + 1} of {self.rounds}: {contender.name}")
                yield number, contender


@dataclass(frozen=True)
class Workload:
    """A competition. about: one line for the table; targets: what ours must reach.

    ours: the contender that the others are compared with.
    """

    name: str
    about: str
    run: Callable[[Race], Iterator[Sample]]
    targets: Sequence[Target] = field(default=())
    ours: str = OURS


def known() -> dict[str, Workload]:
    """All workloads by name, in the order in which they run."""
    from bench.workloads import (  # noqa: PLC0415
        catchup,
        copy,
        deploy,
        idle,
        latency,
        steady,
        swap,
        versions,
        writer,
    )

    order = (catchup, steady, latency, writer, copy, idle, swap, versions, deploy)
    return {module.WORKLOAD.name: module.WORKLOAD for module in order}

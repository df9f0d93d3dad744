"""Figures and the arithmetic on them: samples come in by workload, contender and metric; medians and ratios come out.

Pure. A ratio compares medians of one run, never of two: what else the machine did is then the same for both sides.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

OURS = "pgherd"


class Better(StrEnum):
    """Which way a metric is good."""

    LESS = "less"
    MORE = "more"


@dataclass(frozen=True)
class Sample:
    """One measurement. round: contenders of one round ran after one another, so they share their conditions."""

    workload: str
    metric: str
    contender: str
    value: float
    unit: str
    better: Better = Better.LESS
    round: int = 0


@dataclass(frozen=True)
class Target:
    """What a metric must reach: a ratio against a contender, or an absolute value where there is none.

    at_least: of a ratio, how many times better ours is; of an absolute value, the bound on the good side. of: the
    contender that must reach it.
    """

    workload: str
    metric: str
    against: str
    at_least: float
    of: str = OURS


@dataclass(frozen=True)
class Row:
    """What all samples of one metric and contender come to. ratio: how many times better ours is; None for ours."""

    workload: str
    metric: str
    contender: str
    unit: str
    median: float
    least: float
    most: float
    number: int
    ratio: float | None


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def rows(samples: Iterable[Sample], ours: Mapping[str, str] | None = None) -> list[Row]:
    """Medians by workload, metric and contender, in the order in which they came in.

    ours: by workload the contender that the others are compared with, where that is not `OURS`.
    """
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.workload, sample.metric, sample.contender), []).append(sample)
    medians = {key: statistics.median(sample.value for sample in group) for key, group in groups.items()}
    return [
        Row(
            workload=workload,
            metric=metric,
            contender=contender,
            unit=group[0].unit,
            median=medians[workload, metric, contender],
            least=min(sample.value for sample in group),
            most=max(sample.value for sample in group),
            number=len(group),
            ratio=None
            if contender == (own := (ours or {}).get(workload, OURS))
            else _ratio(group[0].better, medians.get((workload, metric, own)), medians[workload, metric, contender]),
        )
        for (workload, metric, contender), group in groups.items()
    ]


def _ratio(better: Better, ours: float | None, theirs: float | None) -> float | None:
    if not ours or not theirs:
        return None
    return theirs / ours if better is Better.LESS else ours / theirs


@dataclass(frozen=True)
class Judgement:
    """A target, what was measured, and whether it is reached; None: not measured."""

    target: Target
    measured: float | None
    reached: bool | None


def judged(
    found: Sequence[Row], targets: Iterable[Target], better: dict[tuple[str, str], Better]
) -> Iterator[Judgement]:
    """How the rows stand to the targets."""
    medians = {(row.workload, row.metric, row.contender): row.median for row in found}
    for target in targets:
        metric = (target.workload, target.metric)
        measured = medians.get((*metric, target.of))
        if target.against:
            measured = _ratio(better.get(metric, Better.LESS), measured, medians.get((*metric, target.against)))
        if measured is None:
            yield Judgement(target, None, None)
        elif target.against or better.get(metric) is Better.MORE:
            yield Judgement(target, measured, measured >= target.at_least)
        else:
            yield Judgement(target, measured, measured <= target.at_least)

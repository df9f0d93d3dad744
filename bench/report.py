"""What a run found, as a table, as JSON, and against the targets."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import figures
from bench.figures import OURS, Judgement, Row, Sample
from bench.workloads import Workload


def show(console: Console, workloads: Sequence[Workload], samples: Sequence[Sample]) -> None:
    """Print medians and ratios, then what the targets come to."""
    table = Table(title="Medians; ratio: how many times better pgherd is", title_justify="left")
    for column, justify in (("workload", "left"), ("metric", "left"), ("contender", "left"), ("median", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for column in ("least", "most", "rounds", "ratio"):
        table.add_column(column, justify="right")
    for row in rows(workloads, samples):
        table.add_row(*_cells(row), style="bold" if row.ratio is None else "")
    console.print(table)
    verdicts = judgements(workloads, samples)
    if verdicts:
        console.print(_targets(verdicts))


def rows(workloads: Sequence[Workload], samples: Sequence[Sample]) -> list[Row]:
    """The medians of all samples."""
    return figures.rows(samples, {workload.name: workload.ours for workload in workloads})


def _cells(row: Row) -> list[str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    values = [f"{value:.4g} {row.unit}".strip() for value in (row.median, row.least, row.most)]
    return [row.workload, row.metric, row.contender, *values, str(row.number), ratio]


def judgements(workloads: Sequence[Workload], samples: Sequence[Sample]) -> list[Judgement]:
    """How the samples stand to the workloads' targets."""
    better = {(sample.workload, sample.metric): sample.better for sample in samples}
    targets = [target for workload in workloads for target in workload.targets]
    return list(figures.judged(rows(workloads, samples), targets, better))


def _targets(verdicts: Sequence[Judgement]) -> Table:
    table = Table(title="Targets", title_justify="left")
    for column in ("workload", "metric", "against"):
        table.add_column(column)
    for column in ("wanted", "measured", ""):
        table.add_column(column, justify="right")
    for verdict in verdicts:
        target = verdict.target
        measured = "not measured" if verdict.measured is None else f"{verdict.measured:.3g}"
        word = {True: "reached", False: "[red]missed[/red]", None: ""}[verdict.reached]
        wanted = f"{target.at_least:g}" + (" times" if target.against else "")
        metric = f"{target.metric} ({target.of})" if target.of != OURS else target.metric
        table.add_row(target.workload, metric, target.against or "absolute", wanted, measured, word)
    return table


def write(path: Path, workloads: Sequence[Workload], samples: Sequence[Sample], arguments: dict[str, object]) -> None:
    """Write all samples, medians and verdicts, with what is known of the machine, as JSON."""
    document = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "arguments": arguments,
        "rows": [asdict(row) for row in rows(workloads, samples)],
        "targets": [
            {**asdict(verdict.target), "measured": verdict.measured, "reached": verdict.reached}
            for verdict in judgements(workloads, samples)
        ],
        "samples": [asdict(sample) for sample in samples],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "system": platform.platform(),
        "processor": model,
        "cores": os.cpu_count(),
        "memory_mb": memory,
        "load_before": os.getloadavg()[2],
    }

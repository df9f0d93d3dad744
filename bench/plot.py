"""A picture of a run: one panel a metric, one bar a contender, on a scale of each metric's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.figures import OURS, Row


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Write the picture; its format follows the path's ending. Raises ImportError without matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    panels: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        panels.setdefault((row.workload, row.metric), []).append(row)
    across = min(3, len(panels)) or 1
    down = -(-len(panels) // across) or 1
    figure, axes = pyplot.subplots(down, across, figsize=(4.6 * across, 2.6 * down), squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    for axis, ((workload, metric), group) in zip(axes.flat, panels.items(), strict=False):
        axis.set_visible(True)
        medians = [row.median for row in group]
        spread = [[row.median - row.least for row in group], [row.most - row.median for row in group]]
        colours = ["tab:blue" if row.contender == OURS else "tab:gray" for row in group]
        axis.barh([row.contender for row in group], medians, xerr=spread, color=colours, ecolor="black", capsize=2)
        axis.invert_yaxis()
        axis.set_title(f"{workload}: {metric}", fontsize=9)
        axis.set_xlabel(group[0].unit, fontsize=8)
        axis.tick_params(labelsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)

"""`python -m bench [WORKLOAD ...]`: run them, show medians and ratios, write JSON and a plot."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import contenders, figures, plot, report, workloads
from bench.contenders import Contender
from bench.figures import Row, Sample
from bench.grounds import Grounds
from bench.workloads import Race, Workload

# Where a program is installed its bytecode is there, ours like that of the peers.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()
errors = Console(stderr=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="WORKLOAD", help="Which; default: all.")]
Against = Annotated[list[str] | None, typer.Option("--against", help="Only these contenders besides pgherd.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often each contender runs.")]
Transactions = Annotated[int, typer.Option("--transactions", "-n", min=100, help="How large the work is.")]
Scale = Annotated[int, typer.Option(min=1, help="pgbench's scale: 100,000 accounts a unit.")]
Out = Annotated[Path, typer.Option(help="The folder for results.json and results.png.")]


@app.command()
def bench(
    names: Names = None,
    against: Against = None,
    rounds: Rounds = 3,
    transactions: Transactions = 200_000,
    scale: Scale = 10,
    out: Out = Path(".cache/bench"),
) -> None:
    """Measure pgherd and its peers side by side."""
    chosen = _chosen(names)
    racing = _able(against)
    arguments: dict[str, object] = {"rounds": rounds, "transactions": transactions, "scale": scale}
    samples: list[Sample] = []
    grounds = Grounds(scale=scale)
    try:
        for workload in chosen:
            console.print(f"[bold]{workload.name}[/bold]: {workload.about}")
            race = Race(grounds=grounds, contenders=racing, rounds=rounds, transactions=transactions, say=console.print)
            for sample in workload.run(race):
                console.print(
                    f"  {sample.metric} {sample.contender}: {sample.value:.4g} {sample.unit}", highlight=False
                )
                samples.append(sample)
                report.write(out / "results.json", chosen, samples, arguments)
    finally:
        grounds.close()
    report.show(console, chosen, samples)
    _draw(out / "results.png", report.rows(chosen, samples))
    console.print(f"Results: {out / 'results.json'}")


def _chosen(names: list[str] | None) -> list[Workload]:
    known = workloads.known()
    unknown = [name for name in names or () if name not in known]
    if unknown:
        _refuse(f"no workload is called {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in names or known]


def _able(against: list[str] | None) -> list[Contender]:
    known = contenders.known()
    unknown = [name for name in against or () if name not in known]
    if unknown:
        _refuse(f"no contender is called {', '.join(unknown)}; known: {', '.join(known)}")
    wanted = known if against is None else {figures.OURS: known[figures.OURS], **{n: known[n] for n in against}}
    for name, contender in wanted.items():
        if reason := contender.missing():
            errors.print(f"[yellow]{name} does not take part: {reason}[/yellow]")
    return [contender for contender in wanted.values() if not contender.missing()]


def _refuse(reason: str) -> None:
    errors.print(f"bench: {reason}")
    raise typer.Exit(2)


def _draw(path: Path, rows: list[Row]) -> None:
    try:
        plot.draw(path, rows)
    except ImportError:
        errors.print("[yellow]No plot: matplotlib is not installed (pip install -e '.[bench]').[/yellow]")
        return
    console.print(f"Plot: {path}")


if __name__ == "__main__":
    sys.exit(app())

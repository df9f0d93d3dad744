"""What came of a run, put together from its events."""

from __future__ import annotations

from dataclasses import dataclass, field

from provision.apply.events import Event, Outcome, PlaceEnded, Planned, Proved, TaskResult
from provision.apply.places import exit_code, reason
from provision.plan import Plan
from provision.render.page import Cell, Page


@dataclass
class Report:
    """Collects events while they go by.

    order: the places as people expect them; others come last. unchanged, changed: what to say at the end when all went
    well; {0} is the number of changes. log: where the run's log file is. verbose: tell the time that places took, too.
    """

    order: tuple[str, ...] = ()
    unchanged: str = "Everything is as declared. Nothing was changed."
    changed: str = "Everything is as declared: {0} made, and a second look found nothing left to do."
    ended: list[PlaceEnded] = field(default_factory=list)
    planned: list[Planned] = field(default_factory=list)
    proved: Proved | None = None
    log: str = ""
    verbose: bool = False

    def take(self, event: Event) -> None:
        """Take what matters later."""
        if isinstance(event, PlaceEnded):
            self.ended.append(event)
        elif isinstance(event, Planned) and event.first:
            self.planned.append(event)
        elif isinstance(event, Proved):
            self.proved = event

    @property
    def code(self) -> int:
        """The exit code of what was done."""
        return exit_code(self.ended)

    @property
    def places(self) -> list[PlaceEnded]:
        """The places as they ended; of one that was worked on twice, both."""
        return sorted(self.ended, key=lambda place: self._rank(place.place))

    @property
    def results(self) -> list[TaskResult]:
        """How every task ended at every place."""
        return [result for place in self.places for result in place.results]

    @property
    def plans(self) -> list[Planned]:
        """What was to be done at every place."""
        return sorted(self.planned, key=lambda planned: self._rank(planned.plan.place))

    def _rank(self, place: str) -> int:
        return self.order.index(place) if place in self.order else len(self.order)

    @property
    def changes(self) -> int:
        """How many changes were made."""
        return sum(result.changes for result in self.results)

    @property
    def failures(self) -> list[TaskResult]:
        """The tasks that failed."""
        return [result for result in self.results if result.outcome is Outcome.FAILED]

    @property
    def steps(self) -> int:
        """How many changes are planned."""
        return sum(len(planned.plan.steps) for planned in self.planned)

    @property
    def differs(self) -> bool:
        """Whether a plan is not empty."""
        return any(not planned.plan.settled for planned in self.planned)


def show_results(page: Page, report: Report) -> None:
    """The closing report: a line for every place and task, then a sentence for every failure, then the conclusion."""
    if report.results:
        page.line()
        header = [Cell(word, "bold") for word in ("host", "task", "result", "changes", "seconds")]
        page.table([header, *(_row(result) for result in report.results)])
    if report.verbose and report.places:
        page.line()
        header = [Cell(word, "bold") for word in ("host", "seconds in all")]
        page.table([header, *([place.place, f"{place.seconds:.1f}"] for place in report.places)])
    if report.proved:
        show_proof(page, report.proved)
    for result in report.failures:
        page.line()
        page.line(f"{result.place}: {result.task}: {result.message}", "failed")
    page.line()
    page.line(conclusion(report), "failed" if report.code else "ok")
    if report.code and report.log:
        page.line(f"All that was said is in {report.log}", "dim")


def _row(result: TaskResult) -> list[Cell | str]:
    place = "" if result.place == result.task else result.place
    changes = str(result.changes) if result.changes else ""
    seconds = f"{result.seconds:.1f}" if result.seconds >= 0.05 else ""
    note = result.message if result.outcome is Outcome.SKIPPED else ""
    row: list[Cell | str] = [place, result.task, Cell(result.outcome, result.outcome), changes, seconds]
    return [*row, Cell(note, "dim")] if note else row


def conclusion(report: Report) -> str:
    """The last line."""
    if report.code == 130:
        return "Interrupted; what was begun has ended. Run it again to go on from there."
    if report.code:
        places = ", ".join(dict.fromkeys(result.place for result in report.failures))
        done = f" {counted(report.changes)} made." if report.changes else ""
        return f"Not as declared: {places} failed.{done} Mend that and run it again; what is done stays done."
    if not report.changes:
        return report.unchanged
    return report.changed.format(counted(report.changes))


def counted(changes: int) -> str:
    """A number of changes in words."""
    return "1 change" if changes == 1 else f"{changes} changes"


def show_proof(page: Page, proved: Proved) -> None:
    """Every table of every sync on every node, counted and digested."""
    proof = proved.proof
    page.line()
    if proof.traffic:
        page.line(f"Proof: {proof.transactions} pgbench transactions on {' and '.join(proof.traffic)}, then:", "bold")
    else:
        page.line("Proof: the tables as they are:", "bold")
    rows: list[list[Cell | str]] = [[Cell(w, "bold") for w in ("sync", "table", "database", "rows", "digest", "")]]
    for table in proof.tables:
        words = f"{table.verdict}, {table.note}" if table.note else table.verdict
        verdict = Cell(words, {"equal": "ok", "behind": "changed"}.get(table.verdict, "failed"))
        for number, copy in enumerate(table.copies):
            first = number == 0
            count = "no table" if copy.rows is None else str(copy.rows)
            names = [table.sync if first else "", table.table if first else ""]
            rows.append([*names, copy.database, count, copy.digest, verdict if first else ""])
    page.table(rows)


def show_plan(page: Page, planned: Planned, *, diff: bool) -> None:
    """What would be done at one place."""
    plan = planned.plan
    page.line(f"{plan.place}:{_summary(plan)}", "bold")
    if planned.bare:
        page.line(f"  it does not answer, so this is what a bare host would take: {planned.bare}", "skipped")
    for step in plan.steps:
        page.line(f"  {step.task}: {step.change.summary}", "changed")
        if diff:
            page.diff(step.change.diff())
        if step.change.follows:
            page.line(f"      then: {step.change.follows}", "dim")
    for obstacle in plan.waiting:
        page.line(f"  {obstacle.task}: {obstacle.resource}: not known yet, {obstacle.reason}", "skipped")
    if plan.failure:
        page.line(f"  {plan.failure.task}: {reason(plan.failure)}", "failed")


def _summary(plan: Plan) -> str:
    return " as declared" if plan.settled else f" {counted(len(plan.steps))}" if plan.steps else ""

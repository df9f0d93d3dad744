"""For programs: one JSON object a line, an event each, the report last. `schema` changes when a field does."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from provision.apply.events import (
    Event,
    Looking,
    PlaceEnded,
    Planned,
    Proved,
    StepBegan,
    StepEnded,
    StepFailed,
    StepSaid,
)
from provision.apply.places import reason
from provision.plan import Plan
from provision.render.page import Page
from provision.render.report import Report, conclusion

SCHEMA = 1

NAMES = {
    Looking: "looking",
    StepBegan: "step_began",
    StepSaid: "step_said",
    StepEnded: "step_ended",
    StepFailed: "step_failed",
    PlaceEnded: "place_ended",
}


class JsonLines:
    """See the module."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def show(self, event: Event) -> None:
        """See `View.show`."""
        if type(event) in NAMES:
            self._write({"event": NAMES[type(event)], **asdict(event)})
        elif isinstance(event, Planned):
            self._write({"event": "planned", "first": event.first, "bare": event.bare, **plan_json(event.plan)})
        elif isinstance(event, Proved):
            tables = [asdict(table) for table in event.proof.tables]
            proof = {"traffic": list(event.proof.traffic), "transactions": event.proof.transactions}
            self._write({"event": "proved", **proof, "equal": not event.proof.different, "tables": tables})

    def close(self, report: Report) -> None:
        """See `View.close`."""
        self.conclude(report, report.code, conclusion(report))

    def conclude(self, report: Report, code: int, text: str) -> None:
        """The last line."""
        results = [asdict(result) for result in report.results]
        hosts = {place.place: round(place.seconds, 3) for place in report.places}
        found = {"code": code, "changes": report.changes, "results": results, "seconds": hosts, "text": text}
        self._write({"event": "report", **found, "log": report.log})

    def _write(self, value: dict[str, Any]) -> None:
        self._page.line(json.dumps({"schema": SCHEMA, **value}, default=str, ensure_ascii=False))


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan as plain data."""
    return {
        "place": plan.place,
        "settled": plan.settled,
        "steps": [
            {"task": step.task, "summary": step.change.summary, "diff": step.change.diff()} for step in plan.steps
        ],
        "waiting": [asdict(obstacle) for obstacle in plan.waiting],
        "failure": reason(plan.failure) if plan.failure else None,
    }

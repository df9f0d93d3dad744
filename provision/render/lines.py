"""For files, pipes and CI: a line when a step has ended, and now and then one for a step that takes its time."""

from __future__ import annotations

import time

from provision.apply.events import Event, Looking, Planned, StepBegan, StepEnded, StepFailed, StepSaid
from provision.render.page import Page
from provision.render.report import Report, show_results

QUIET_SECONDS = 2.0
AGAIN_SECONDS = 10.0


class Running:
    """A step that has begun."""

    def __init__(self, event: StepBegan) -> None:
        self.text = f"{event.place}: {event.task}: {event.summary}"
        self.said = ""
        self.began = time.monotonic()
        self.next = self.began + QUIET_SECONDS


class Lines:
    """See the module."""

    def __init__(self, page: Page, *, diff: bool, verbose: bool = False) -> None:
        self._page = page
        self._diff = diff
        self._verbose = verbose
        self._running: dict[str, Running] = {}

    def show(self, event: Event) -> None:
        """See `View.show`."""
        if isinstance(event, StepBegan):
            self._running[event.place] = Running(event)
            if self._verbose:
                self._page.line(
                    f"{event.place}: {event.task}: {event.number} of {event.of}: {event.summary} ...", "dim"
                )
        elif isinstance(event, StepSaid) and event.place in self._running:
            self._running[event.place].said = event.text
            if self._verbose and event.text.strip():
                self._page.line(f"{event.place}: {event.text}", "dim")
        elif isinstance(event, Looking) and self._verbose:
            self._page.line(f"{event.place}: looking", "dim")
        elif isinstance(event, StepFailed):
            self._running.pop(event.place, None)
        elif isinstance(event, StepEnded):
            self._running.pop(event.place, None)
            self._page.line(f"{event.place}: {event.task}: {event.summary} ({event.seconds:.1f} s)")
            if self._diff:
                self._page.diff(event.diff)
        elif isinstance(event, Planned) and event.first and event.bare:
            self._page.line(f"{event.plan.place}: {event.bare}")
        self._patience()

    def _patience(self) -> None:
        """Say which steps are still running, first after two seconds, then every ten."""
        now = time.monotonic()
        for running in self._running.values():
            if now >= running.next:
                said = f", {running.said.strip()}" if running.said else ""
                self._page.line(f"{running.text} ... {now - running.began:.0f} s{said}"[:160])
                running.next = now + AGAIN_SECONDS

    def close(self, report: Report) -> None:
        """See `View.close`."""
        show_results(self._page, report)

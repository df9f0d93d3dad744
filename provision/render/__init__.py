"""Shows people what a run does and what came of it; or gives programs the same as JSON, a line for each event.

A view takes events one by one. Which one: `JsonLines` when asked for, `Live` on a terminal, `Lines` elsewhere.
"""

from __future__ import annotations

import sys
from typing import Protocol

from provision.apply.events import Event
from provision.render.jsonlines import JsonLines
from provision.render.lines import Lines
from provision.render.page import Page
from provision.render.report import Report

__all__ = ["JsonLines", "Lines", "Page", "Report", "View", "view"]


class View(Protocol):
    """Something that events are shown to."""

    def show(self, event: Event) -> None:
        """Show what happens."""
        ...

    def close(self, report: Report) -> None:
        """Show what came of it. Nothing follows."""
        ...


def view(page: Page, *, json: bool, diff: bool, verbose: bool = False) -> View:
    """The view for this output. verbose: show what steps say, too."""
    if json:
        return JsonLines(page)
    if sys.stdout.isatty():
        from provision.render.live import Live  # noqa: PLC0415 - only a terminal has use for it

        return Live(page, diff=diff, verbose=verbose)
    return Lines(page, diff=diff, verbose=verbose)

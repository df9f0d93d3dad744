"""For terminals: what every place is at right now, redrawn in place, above it what is done."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live as RichLive
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from provision.apply.events import Event, Looking, PlaceEnded, Proved, StepBegan, StepEnded, StepSaid
from provision.render.page import Page
from provision.render.report import Report, show_results

REDRAWS_PER_SECOND = 10


class Place:
    """What a place is at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.said = ""
        self.began = time.monotonic()
        self.spinner = Spinner("dots")


class Live:
    """See the module."""

    def __init__(self, page: Page, *, diff: bool, verbose: bool = False) -> None:
        self._page = page
        self._diff = diff
        self._verbose = verbose
        self._places: dict[str, Place] = {}
        self._console = Console(highlight=False)
        # Redrawn by the events (time passing is one), so that there is no further thread.
        self._live = RichLive(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._drawn = 0.0

    def show(self, event: Event) -> None:
        """See `View.show`."""
        if isinstance(event, Looking):
            self._places.setdefault(event.place, Place("looking"))
        elif isinstance(event, StepBegan):
            self._places[event.place] = Place(f"{event.task}: {event.summary}")
        elif isinstance(event, StepSaid) and event.place in self._places:
            self._places[event.place].said = event.text.strip()
            if self._verbose and event.text.strip():
                self._print("", self._page.mask(f"{event.place}: {event.text}"))
        elif isinstance(event, StepEnded):
            self._places[event.place] = Place("looking again")
            self._done(event)
        elif isinstance(event, PlaceEnded | Proved):
            self._places.pop(event.place if isinstance(event, PlaceEnded) else "", None)
        self._redraw()

    def _done(self, event: StepEnded) -> None:
        text = self._page.mask(f"{event.place}: {event.task}: {event.summary}")
        self._print(text, f" {event.seconds:.1f} s")
        for line in event.diff if self._diff else ():
            self._print(f"      {self._page.mask(line)}")

    def _print(self, text: str, dim: str = "") -> None:
        self._live.console.print(Text(text) + Text(dim, style="dim"), soft_wrap=True)

    def _redraw(self) -> None:
        now = time.monotonic()
        if now - self._drawn < 1 / REDRAWS_PER_SECOND:
            return
        self._drawn = now
        table = Table.grid(padding=(0, 1))
        table.add_column()
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        for name, place in self._places.items():
            text = Text(self._page.mask(place.text))
            if place.said:
                text.append(f"  {self._page.mask(place.said)}", style="dim")
            table.add_row(place.spinner, Text(name, style="bold"), text, f"{now - place.began:.0f} s")
        self._live.update(table, refresh=True)

    def close(self, report: Report) -> None:
        """See `View.close`."""
        self._live.stop()
        show_results(self._page, report)

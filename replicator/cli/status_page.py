"""What `replicator status` shows people: a table of all syncs, or the details of one; once, or live.

The functions from `page` on are pure. It is drawn by rich, which loads slowly: who wants JSON does without this module.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from replicator.change import Counts
from replicator.errors import ReplicatorError
from replicator.status import INACTIVE, NOT_RESPONDING, LinkStatus, Overview, SyncStatus
from replicator.status.lag import Lag

WIDE = 250
LEAST = {"Sync": 12, "State": 9, "Lag": 4, "Rows": 4, "Last good": 9}
"""What a narrow terminal leaves of the columns that matter most."""


EVERY = 1.0
STYLES = {
    NOT_RESPONDING: "bold red",
    "stopped": "bold red",
    "waiting": "bold red",
    "retrying": "yellow",
    "starting": "cyan",
    "copying": "cyan",
    "running": "green",
    "idle": "green",
    "paused": "magenta",
    INACTIVE: "dim",
}


def show(found: Overview, *, detailed: bool) -> None:
    """Show it once."""
    _console().print(page(found, detailed=detailed))


def watch(look: Callable[[], Overview], *, detailed: bool) -> None:
    """Show it every second: on a terminal in place, elsewhere one below the other."""
    console = _console()
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            _again(lambda: live.update(_current(look, detailed), refresh=True))
    else:
        _again(lambda: console.print(_current(look, detailed)))


def _console() -> Console:
    """As wide as the terminal; in a pipe as wide as it takes, for there a cut line cannot be mended."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def _again(step: Callable[[], None]) -> None:
    """Do it every second until Ctrl-C, which here is the way to end."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            began = time.monotonic()
            step()
            time.sleep(max(0.0, EVERY - (time.monotonic() - began)))


def _current(look: Callable[[], Overview], detailed: bool) -> RenderableType:
    """The page; a catalog that is away is said to be away, and looked for again next time."""
    try:
        return page(look(), detailed=detailed)
    except ReplicatorError as error:
        return Text(str(error), style="bold red")


# -- from here on pure


def page(found: Overview, *, detailed: bool) -> RenderableType:
    """All that is shown."""
    if detailed:
        return Group(heading(found), *(details(sync, found.at) for sync in found.syncs), *warnings(found))
    return Group(heading(found), table(found), *remarks(found), *warnings(found))


def warnings(found: Overview) -> Iterator[Text]:
    """A line for each target for which much is kept."""
    for burden in found.late:
        yield Text.assemble((f"{burden.sync}: {burden}", "bold red"))


def heading(found: Overview) -> Text:
    """Who runs."""
    pid = f" (pid {found.pid})" if found.pid else ""
    running = f"running{pid}" if found.running else "not running: `replicator start` starts it"
    return Text.assemble(
        f"Install {found.install.name}: the daemon is ", (running, "green" if found.running else "bold red"), "."
    )


def table(found: Overview) -> RenderableType:
    """A row for each link."""
    if not found.syncs:
        return Text("No syncs are declared.")
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Sync", "Type", "From -> to", "State"):
        shown.add_column(title, no_wrap=True, min_width=LEAST.get(title))
    for title in ("Lag", "Rows", "Last good", "Last I/U/D", "Rows/s", "Parked", "Last bad"):
        shown.add_column(title, justify="right", no_wrap=True, min_width=LEAST.get(title))
    for sync in found.syncs:
        for number, link in enumerate(sync.links):
            name, kind = (sync.sync.name, str(sync.sync.type)) if number == 0 else ("", "")
            ways = f"{link.link.source.name} -> {link.link.target.name}"
            shown.add_row(name, kind, ways, styled(link.state), *cells(link, found.at))
    return shown


def cells(link: LinkStatus, at: datetime) -> tuple[str, ...]:
    """The numbers of a link, as its row in the table shows them."""
    total, run = link.total, link.last_run
    return (
        age_of_lag(link.lag),
        rows_of_lag(link.lag),
        ago(total.last_good_at if total else None, at),
        counts(run.counts) if run else "-",
        f"{link.rate:.0f}" if link.rate else "-",
        "?" if link.lag.parked is None else str(link.lag.parked or "-"),
        ago(total.last_bad_at if total else None, at),
    )


def remarks(found: Overview) -> Iterator[Text]:
    """A line for each link of which there is more to say."""
    for sync in found.syncs:
        for link in sync.links:
            for text in sentences(link, found.at):
                yield Text.assemble((str(link.link), "bold"), f": {text}")


def sentences(link: LinkStatus, at: datetime) -> Iterator[str]:
    """What a person should know of a link beyond its numbers."""
    if link.detail and link.state != "idle":
        since = f" for {length(at - link.since)}" if link.since else ""
        yield f"{link.state}{since}: {link.detail}"
    if link.waits:
        lead, sync = link.link.source.name, link.link.sync
        way = f"; `replicator update herd {sync.herd} --db {link.heir}` lets it follow {link.heir} meanwhile"
        yield f"{link.link.target.name} gets no changes until {lead} answers{way if link.heir else ''}"
    if link.lag.problem and link.state != "copying":
        yield f"its lag is not known: {link.lag.problem}"
    if link.lag.parked:
        keys = "1 key is" if link.lag.parked == 1 else f"{link.lag.parked} keys are"
        yield f"{keys} set aside, because {link.link.target.name} refused what was to be written"
    for one in link.lag.unequal:
        yield f"{one.table} is parked: {one.why}" if one.parked else f"{one.table}: {one.why}"


def details(sync: SyncStatus, at: datetime) -> RenderableType:
    """A block for one sync, and one for each of its links."""
    declared = sync.sync
    shown = _grid()
    checktime = f"every {length(declared.checktime)} at least" if declared.checktime else "none"
    for label, value in (
        ("Sync", declared.name),
        ("Type", str(declared.type)),
        ("Herd", f"{declared.herd} on {sync.source}"),
        ("Targets", ", ".join(dict.fromkeys(link.link.target.name for link in sync.links))),
        ("Tables", str(max((len(link.link.tables) for link in sync.links), default=0))),
        ("Runs", ("when the source changed" if declared.autokick else "when kicked") + f", checktime {checktime}"),
        ("State", styled(sync.state)),
    ):
        shown.add_row(f"{label}:", value)
    return Group(shown, *(_link_details(link, at) for link in sync.links))


def _link_details(link: LinkStatus, at: datetime) -> RenderableType:
    shown, total, run = _grid(), link.total, link.last_run
    rows = f", {rows_of_lag(link.lag)} changes" if link.lag.rows is not None else ""
    for label, value in (
        ("State", styled(link.state)),
        *(("", text) for text in sentences(link, at)),
        ("Lag", f"{age_of_lag(link.lag)}{rows}"),
        ("Last run", f"{_when(run.finished_at, at)}, {counts(run.counts)} inserted/updated/deleted" if run else "none"),
        ("Last good", _when(total.last_good_at if total else None, at)),
        ("Last bad", _when(total.last_bad_at if total else None, at)),
        *((("", total.last_error),) if total and total.last_error else ()),
        ("Rate", f"{link.rate:.0f} rows/s"),
        ("In total", f"{counts(total.counts)} inserted/updated/deleted" if total else "nothing"),
        ("Conflicts", str(total.counts.conflicts if total else 0)),
        ("Parked", "?" if link.lag.parked is None else str(link.lag.parked)),
    ):
        shown.add_row(f"{label}:" if label else "", value)
    return Group(Text(), Text(f"{link.link.source.name} -> {link.link.target.name}", style="bold"), shown)


def _grid() -> Table:
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="dim")
    shown.add_column(overflow="fold")
    return shown


def styled(state: str) -> Text:
    """A state in its colour."""
    return Text(str(state), style=STYLES[state])


def counts(counted: Counts) -> str:
    """Rows inserted, updated, deleted."""
    return f"{counted.inserted}/{counted.updated}/{counted.deleted}"


def age_of_lag(lag: Lag) -> str:
    """Seconds behind."""
    if lag.seconds is None:
        return "?"
    return length(timedelta(seconds=lag.seconds))


def rows_of_lag(lag: Lag) -> str:
    """Changes behind."""
    if lag.rows is None:
        return "?"
    return f">{lag.rows}" if lag.more else str(lag.rows)


def ago(moment: datetime | None, at: datetime) -> str:
    """How long ago something was."""
    return length(at - moment) if moment else "-"


def _when(moment: datetime | None, at: datetime) -> str:
    if moment is None:
        return "never"
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({length(at - moment)} ago)"


def length(span: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 60:
        return f"{seconds:.1f}s" if 0 < seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"

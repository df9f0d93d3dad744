"""What the commands share: the options, reading the inventory, running under a view."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from provision.apply import MACHINE, Run, Stop
from provision.apply.events import Event, PlaceEnded
from provision.apply.folders import make_folder
from provision.apply.remembered import FailedHosts
from provision.apply.stop import heeding_signals
from provision.cli.asking import Asking
from provision.errors import InputError
from provision.inventory import Host, load
from provision.plan import chosen_tasks
from provision.render import Page, Report, View, view
from provision.render.logfile import LogFile
from provision.render.report import conclusion
from provision.render.summary import summary, write
from provision.secrets import Passphrase, unlocker
from provision.tasks import Site
from provision.tasks.tls import warnings as certificate_warnings
from provision.transport.claim import who

FORKS = 20
"""At how many hosts a run is at work at once."""

InventoryFile = Annotated[Path, typer.Argument(metavar="INVENTORY", help="A YAML or INI file, or a folder of them.")]
Limit = Annotated[
    str,
    typer.Option(
        "--limit", "-l", metavar="HOSTS", help="Only these hosts and groups; @failed: those not as declared since last."
    ),
]
Tags = Annotated[str, typer.Option("--tags", "-t", metavar="TASKS", help="Only these tasks, separated by commas.")]
Diff = Annotated[bool, typer.Option("--diff", "-D", help="Show what changes in files and objects.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what steps say, and how long hosts took.")]
Forks = Annotated[int, typer.Option("--forks", "-f", metavar="N", min=1, help="At most so many hosts at once.")]
Serial = Annotated[
    int | None,
    typer.Option(
        "--serial",
        metavar="N",
        min=1,
        show_default=False,
        help="N hosts through all tasks, then the next N, once the syncs have caught up; copies before their sources.",
    ),
]
StartAt = Annotated[str, typer.Option("--start-at", metavar="TASK", help="Leave out the tasks before this one.")]
AskPass = Annotated[bool, typer.Option("--ask-pass", "-k", help="Ask for the password to log in with.")]
AskBecomePass = Annotated[bool, typer.Option("--ask-become-pass", "-K", help="Ask for the password that sudo wants.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write what came of it to a file, as one JSON object.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass
class Command:
    """A command on an inventory, while it runs."""

    site: Site
    hosts: tuple[Host, ...]
    page: Page
    json: bool = False
    diff: bool = False
    verbose: bool = False
    forks: int = FORKS
    stop: Stop = field(default_factory=Stop)
    log: LogFile | None = None
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        order = (MACHINE, *(host.name for host in self.site.inventory.hosts))
        self.report = Report(order=order, verbose=self.verbose)

    @classmethod
    def begin(
        cls,
        inventory: Path,
        limit: str = "",
        *,
        json: bool = False,
        diff: bool = False,
        verbose: bool = False,
        forks: int = FORKS,
        asking: Asking | None = None,
    ) -> Command:
        """Read an inventory, and ask for passwords. Raises InputError with everything that is wrong with it."""
        passphrase = Passphrase()
        loaded = load(inventory, unlock=unlocker(passphrase) if passphrase.told else None)
        hosts = loaded.limit(FailedHosts(loaded).pattern(limit)) if limit else loaded.hosts
        site = Site.of(loaded, passphrase=passphrase)
        if asking:
            asking.ask(site.keeper)
        site.keeper.clear_environment()
        warnings = (*loaded.warnings, *certificate_warnings(site))
        if not json:
            for warning in warnings:
                print(f"warning: {warning}", file=sys.stderr)
        return cls(site, hosts, Page.standard(site.keeper.mask), json, diff, verbose, forks)

    def run(self, tags: str = "", *, generate: bool = False, start_at: str = "", serial: int | None = None) -> Run:
        """What is to be done about its hosts. generate: passwords may be made."""
        site = self.site.deploying() if generate else self.site
        tasks = chosen_tasks([tag.strip() for tag in tags.split(",") if tag.strip()], start_at)
        at_once = self.site.inventory.serial if serial is None else serial
        return Run(site, self.hosts, tasks, self.stop, self.forks, at_once)

    def keep_log(self, name: str) -> None:
        """Write down what happens from now on."""
        make_folder(self.site.inventory.state_dir)
        self.log = LogFile(self.site.inventory.state_dir, name, self.page.mask)
        self.log.quiet(frozenset([MACHINE, *(host.name for host in self.site.inventory.hosts)]))
        self.log.note(f"provision {name} {' '.join(map(str, self.site.inventory.files[:1]))}: {who()}")
        self.report.log = str(self.log.path)

    def close(self, report_file: Path | None = None, **about: object) -> None:
        """Write down what came of it: which hosts are not as declared, the report, the end of the log."""
        FailedHosts(self.site.inventory).remember(self._hosts_ended())
        if self.log:
            self.log.note(f"{conclusion(self.report)} Exit code {self.report.code}.")
            self.log.close()
        if report_file:
            value = summary(self.report, inventory=self.site.inventory.name, log=self.report.log, **about)
            write(report_file, value, self.page.mask)

    def _hosts_ended(self) -> list[PlaceEnded]:
        names = {host.name for host in self.hosts}
        return [place for place in self.report.ended if place.place in names]

    def json_line(self, value: dict[str, object]) -> None:
        """Print an object as a line of JSON."""
        self.page.line(json_format.dumps(value, default=str, ensure_ascii=False))

    def view(self) -> View:
        """Where its events are shown."""
        return view(self.page, json=self.json, diff=self.diff, verbose=self.verbose)

    def watch(self, events: Iterable[Event], shown: View) -> None:
        """Let something happen, and show it. Signals ask it to stop."""
        with heeding_signals(self.stop):
            for event in events:
                self.report.take(event)
                if self.log:
                    self.log.write(event)
                shown.show(event)


def confirm(question: str, answer: str) -> None:
    """Let somebody type an answer. Raises InputError when it is another, or nobody is there to ask."""
    if not sys.stdin.isatty():
        raise InputError("this has to be confirmed, and standard input is no terminal: add --yes")
    typed = input(f"{question}\nType {answer} to go on: ")
    if typed.strip() != answer:
        raise InputError("not confirmed; nothing was touched")

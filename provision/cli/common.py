"""What the commands share: the options, reading the inventory, running under a view."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from provision.apply import MACHINE, Run, Stop
from provision.apply.events import Event
from provision.apply.stop import heeding_signals
from provision.errors import InputError
from provision.inventory import Host, load
from provision.plan import chosen_tasks
from provision.render import Page, Report, View, view
from provision.tasks import Site
from provision.tasks.tls import warnings as certificate_warnings

InventoryFile = Annotated[Path, typer.Argument(metavar="INVENTORY", help="A YAML or INI file, or a folder of them.")]
Limit = Annotated[str, typer.Option("--limit", "-l", metavar="HOSTS", help="Only these hosts and groups.")]
Tags = Annotated[str, typer.Option("--tags", "-t", metavar="TASKS", help="Only these tasks, separated by commas.")]
Diff = Annotated[bool, typer.Option("--diff", "-D", help="Show what changes in files and objects.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass
class Command:
    """A command on an inventory, while it runs."""

    site: Site
    hosts: tuple[Host, ...]
    page: Page
    json: bool = False
    diff: bool = False
    stop: Stop = field(default_factory=Stop)
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        self.report = Report(order=(MACHINE, *(host.name for host in self.site.inventory.hosts)))

    @classmethod
    def begin(cls, inventory: Path, limit: str = "", *, json: bool = False, diff: bool = False) -> Command:
        """Read an inventory. Raises InputError with everything that is wrong with it."""
        loaded = load(inventory)
        hosts = loaded.limit(limit) if limit else loaded.hosts
        site = Site.of(loaded)
        site.keeper.clear_environment()
        warnings = (*loaded.warnings, *certificate_warnings(site))
        if not json:
            for warning in warnings:
                print(f"warning: {warning}", file=sys.stderr)
        return cls(site, hosts, Page.standard(site.keeper.mask), json, diff)

    def run(self, tags: str = "", *, generate: bool = False) -> Run:
        """What is to be done about its hosts. generate: passwords may be made."""
        site = self.site.deploying() if generate else self.site
        tasks = chosen_tasks([tag.strip() for tag in tags.split(",") if tag.strip()])
        return Run(site, self.hosts, tasks, self.stop)

    def view(self) -> View:
        """Where its events are shown."""
        return view(self.page, json=self.json, diff=self.diff)

    def watch(self, events: Iterable[Event], shown: View) -> None:
        """Let something happen, and show it. Signals ask it to stop."""
        with heeding_signals(self.stop):
            for event in events:
                self.report.take(event)
                shown.show(event)


def confirm(question: str, answer: str) -> None:
    """Let somebody type an answer. Raises InputError when it is another, or nobody is there to ask."""
    if not sys.stdin.isatty():
        raise InputError("this has to be confirmed, and standard input is no terminal: add --yes")
    typed = input(f"{question}\nType {answer} to go on: ")
    if typed.strip() != answer:
        raise InputError("not confirmed; nothing was touched")

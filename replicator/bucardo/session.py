"""What the commands of `bucardo_ctl` share: the command line, the catalog that it means, and how they speak."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property

from replicator import daemon
from replicator.bucardo import place, rcfile
from replicator.bucardo.grammar import Line
from replicator.catalog import Catalog
from replicator.config import Config
from replicator.errors import AlreadyExists, NotFound
from replicator.habits import Habits
from replicator.model import Topology
from replicator.postgres import Connector


class Failed(Exception):
    """A command has said what there is to say, and ends with this exit code."""

    def __init__(self, code: int = 1) -> None:
        super().__init__()
        self.code = code


class Session:
    """One command line."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._closing = ExitStack()

    def say(self, text: str, *, end: str = "\n") -> None:
        """Print, unless --quiet."""
        if not self.line.on("quiet"):
            print(text, end=end, flush=True)

    def keep(self, noun: str, name: str, options: Mapping[str, str]) -> None:
        """Keep options of an object that have no effect here, and say so on stderr, where no script looks for it."""
        for key, value in options.items():
            self.catalog.set_habit(noun, name, key, value)
        if options and not self.line.on("quiet"):
            print(f"Note: {', '.join(sorted(options))}: kept and shown, without effect here", file=sys.stderr)

    @cached_property
    def rc(self) -> dict[str, str]:
        """What the .bucardorc file says. Raises ConfigError."""
        return rcfile.read(self.line)

    def option(self, name: str) -> str | None:
        """An option of the command line, else of the file."""
        return self.line.options.get(name, self.rc.get(name))

    @cached_property
    def config(self) -> Config:
        """The configuration. Raises ConfigError."""
        names = (*place.OPTIONS, "dbpass")
        return place.resolve({name: value for name in names if (value := self.option(name))})

    @cached_property
    def connector(self) -> Connector:
        """Opens connections to the catalog and the nodes."""
        return Connector(self.config)

    @cached_property
    def catalog(self) -> Catalog:
        """The open catalog; it closes when the command ends."""
        return self._closing.enter_context(Catalog.open(self.connector, "ctl"))

    @property
    def topology(self) -> Topology:
        """What is declared at this moment."""
        return self.catalog.topology()

    @property
    def habits(self) -> Habits:
        """The settings."""
        return Habits(self.catalog.bucardo_settings(), self.config.run_dir)

    @staticmethod
    def now() -> datetime:
        """The time, with its zone."""
        return datetime.now(UTC)

    def daemon_pid(self) -> int | None:
        """The daemon's process id, if it runs here."""
        return daemon.running(self.config)

    def daemon_runs(self) -> bool:
        """Whether the daemon runs, here or elsewhere."""
        return self.daemon_pid() is not None or self.catalog.locked("master")

    def close(self) -> None:
        """Close what was opened."""
        self._closing.close()


def missing(noun: str, name: str) -> NotFound:
    """The error for a name that leads nowhere."""
    return NotFound(f'No such {noun}: "{name}"')


def taken(noun: str, name: str) -> AlreadyExists:
    """The error for a name that is in use."""
    return AlreadyExists(f'Cannot add: the {noun} "{name}" already exists')

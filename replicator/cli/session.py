"""What every command shares: the configuration that was asked for, and connections that close when the command ends."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replicator.config import Config, find, load

if TYPE_CHECKING:
    from replicator.catalog import Catalog
    from replicator.postgres import Connector

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
"""The type of a command's `--json` option: `json: Json = False`."""


@dataclass
class Session:
    """The state of one command line. Commands reach it as `context.obj`."""

    config_file: Path | None = None
    debug: bool = False
    _closing: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def config(self) -> Config:
        """The configuration. Raises ConfigError."""
        return load(find(self.config_file))

    @cached_property
    def connector(self) -> Connector:
        """Opens connections by that configuration. Raises ConfigError."""
        from replicator.postgres import Connector  # noqa: PLC0415  (the driver costs half a second; help needs none)

        return Connector(self.config)

    @cached_property
    def catalog(self) -> Catalog:
        """The open catalog; it closes when the command ends. Raises as `Catalog.open` does."""
        from replicator.catalog import Catalog  # noqa: PLC0415

        return self._closing.enter_context(Catalog.open(self.connector, "cli"))

    def close(self) -> None:
        """Close what was opened."""
        self._closing.close()

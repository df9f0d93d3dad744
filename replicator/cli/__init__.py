"""The `replicator` command: its words, its global options, and the border at which errors become sentences.

A command is one module of this package, named after its word, that exposes `register(app)` and adds itself to the
typer application that it is given. Add its word to `COMMANDS`. A module is imported when its word is typed, so that
help does not pay for drivers. Command functions return None or an exit code, and raise `ReplicatorError`s; only this
module prints those. Exit codes: 0 done, 1 failed, 2 wrong usage or declaration, 4 a server does not answer or refuses
the login, 130 interrupted.
"""

from __future__ import annotations

import gc
import importlib
import sys
import traceback
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from replicator import failpoint
from replicator.cli.session import Session
from replicator.errors import ReplicatorError

COMMANDS = {
    "start": "Start the daemon.",
    "stop": "Stop the daemon.",
    "restart": "Stop the daemon and start it.",
    "status": "Show how the syncs stand.",
    "kick": "Have syncs run now.",
    "pause": "Let syncs rest.",
    "resume": "Let paused syncs run again.",
    "log": "Print the daemon's log.",
    "verify": "Compare the databases of syncs row by row.",
    "parked": "List, retry or drop rows that a target refused.",
    "conflicts": "List, show, count, restore or prune the conflicts of swaps.",
    "purge": "Remove change log rows that nobody needs, and show what is kept.",
    "import-bucardo": "Print the inventory that declares what a Bucardo does.",
    "init": "Create the catalog's schema, or bring it up to date.",
    "add": "Add a database, dbgroup, herd, table, sequence, sync or hook.",
    "update": "Change a database, dbgroup, herd, sync or hook.",
    "add-node": "Bring a database into a sync or dbgroup while all go on.",
    "remove-node": "Take a database out of a sync or dbgroup.",
    "remove": "Remove databases, dbgroups, herds, tables, sequences, syncs or hooks.",
    "list": "List databases, dbgroups, herds, tables, sequences, syncs or hooks.",
}
"""The words, in the order of the help page, with the line that the help page says of each."""

MODULES = {
    "add-node": "add_node",
    "import-bucardo": "import_bucardo",
    "list": "listing",
    "remove-node": "remove_node",
}
"""Modules that are not named after their word: it would hide a built-in function in this package, or is no name."""


class CommandGroup(TyperGroup):
    """Imports a command's module when its word is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """The words, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The command for a word; None when there is none."""
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            app = typer.Typer(rich_markup_mode=None)
            importlib.import_module(f"replicator.cli.{MODULES.get(cmd_name, cmd_name)}").register(app)
            self.commands.update(typer.main.get_group(app).commands)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """The words and their lines, without importing what is behind them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="replicator",
    cls=CommandGroup,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415  (slow to load, and for nobody else)

        typer.echo(f"replicator {metadata.version('pgherd')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The configuration; otherwise found as the reference says."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """Keep chosen tables of PostgreSQL databases in agreement."""
    session: Session = context.obj
    session.config_file = config
    session.debug = debug


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code; no exception leaves this function."""
    gc.set_threshold(50_000)  # what is imported stays: to look through it again and again took a tenth of the time
    session = Session()
    words = hoisted(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        failpoint.arm()
        code = typer.main.get_command(app)(words, prog_name="replicator", standalone_mode=False, obj=session)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except Exception as error:
        if session.debug:
            traceback.print_exc()
        return complain(error)
    finally:
        session.close()
    return code if isinstance(code, int) else 0


def hoisted(words: Sequence[str]) -> list[str]:
    """The words with the global options before the command, wherever they were written. Pure."""
    first, rest, remaining = list[str](), list[str](), iter(words)
    for word in remaining:
        if word == "--config":
            first += [word, *islice(remaining, 1)]
        elif word == "--debug" or word.startswith("--config="):
            first.append(word)
        else:
            rest.append(word)
        if word == "--":
            rest += remaining
    return [*first, *rest]


def complain(error: Exception) -> int:
    """Say on stderr what went wrong, a line per problem, and return the exit code that it stands for."""
    if isinstance(error, ReplicatorError):
        text, code = str(error), error.exit_code
    elif usage := getattr(error, "format_message", None):  # typer's usage errors; their class moved between releases
        text, code = " ".join(usage().replace("Value error, ", "").split()), 2
    else:
        text, code = f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1
    for line in text.splitlines():
        print(f"replicator: {line}", file=sys.stderr)
    return code

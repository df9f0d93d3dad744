"""The `provision` command: its words, and the border at which errors become sentences and exit codes.

A command is one module of this package, named after its word, that exposes `register(app)`. It is imported when its
word is typed, so that help does not pay for drivers. Command functions return an exit code and raise ProvisionErrors;
only this module prints those. The exit codes are listed in `provision.errors`.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from provision.errors import InputError, Interrupted, ProvisionError

COMMANDS = {
    "deploy": "Make everything as the inventory says, and prove that the syncs work.",
    "plan": "Show what deploy would do; touch nothing.",
    "check": "Like plan, with exit code 3 if anything differs.",
    "doctor": "Look for what would stop a deploy, on hosts and here; touch nothing.",
    "trust": "Show the keys of hosts, and accept those that are new.",
    "status": "Show which servers run and how the syncs stand.",
    "rebuild": "Wipe hosts and bring them back, data included, from the others.",
    "destroy": "Stop and remove everything that deploy has made on this machine.",
    "lab": "Three virtual machines by Vagrant: up, down, status.",
    "render": "Show the configuration files of hosts.",
    "facts": "Show what is found on hosts.",
    "secret": "Keep secrets in an encrypted file, for `!secret NAME`.",
}
"""The words, in the order of the help page, with the line that the help page says of each."""


class CommandGroup(TyperGroup):
    """Imports a command's module when its word is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """The words, in order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The command for a word; None when there is none."""
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            app = typer.Typer(rich_markup_mode=None)
            importlib.import_module(f"provision.cli.{cmd_name}").register(app)
            self.commands.update(typer.main.get_group(app).commands)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """The words and their lines, without importing what is behind them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="provision",
    cls=CommandGroup,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415 - slow to load, and for nobody else

        typer.echo(f"provision {metadata.version('pgherd')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    passphrase_file: Annotated[
        Path | None,
        typer.Option("--passphrase-file", metavar="FILE", help="Take the passphrase of secrets from its first line."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and leave.")
    ] = False,
) -> None:
    """Make hosts what an inventory says: PostgreSQL, databases, replication.

    Exit codes: 0 as declared, 1 failed, 2 bad input, 3 differs (check), 4 unreachable, 130 interrupted.
    """
    context.obj["debug"] = debug
    if passphrase_file:
        os.environ["PGHERD_PASSPHRASE_FILE"] = str(passphrase_file)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code; no exception leaves this function."""
    gc.set_threshold(50_000)  # what is imported stays: to look through it again and again took a tenth of the time
    shared: dict[str, Any] = {"debug": False}
    words = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        code = typer.main.get_command(app)(words, prog_name="provision", standalone_mode=False, obj=shared)
    except (KeyboardInterrupt, typer.Abort):
        return Interrupted.exit_code
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except BrokenPipeError:
        # Whoever read our output has left (`| head`): nobody is there to be told, not even by Python on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if shared["debug"]:
            traceback.print_exc()
        return complain(error)
    return code if isinstance(code, int) else 0


def complain(error: Exception) -> int:
    """Say on stderr what went wrong, a line per problem, and return the exit code that it stands for."""
    lines, code = _sentences(error)
    for line in lines:
        print(f"provision: {line}", file=sys.stderr)
    return code


def _sentences(error: Exception) -> tuple[list[str], int]:
    if isinstance(error, InputError):
        hint = [error.hint] if error.hint else []
        return [*(str(fault) for fault in error.faults), *hint], error.exit_code
    if isinstance(error, ProvisionError):
        return str(error).splitlines(), error.exit_code
    if usage := getattr(error, "format_message", None):  # typer's usage errors; their class moved between releases
        return usage().splitlines(), InputError.exit_code
    if isinstance(error, OSError) and error.filename:
        return [f"{error.filename}: {error.strerror}. Correct its permissions, or the place."], 1
    return [f"unexpected {type(error).__name__}: {error} (--debug shows where)"], 1

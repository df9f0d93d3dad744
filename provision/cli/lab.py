"""`provision lab`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provision.cli.common import FORKS, Command, Verbose, Yes, confirm
from provision.errors import InputError
from provision.vagrant import Vagrant

Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="Where the Vagrantfile is (default: here, or the nearest above)."),
]
NoDeploy = Annotated[bool, typer.Option("--no-deploy", help="Make the machines, and leave them bare.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    lab = typer.Typer(rich_markup_mode=None, help="Three virtual machines by Vagrant: up, down, status.")
    app.add_typer(lab, name="lab")

    @lab.command()
    def up(folder: Folder = None, no_deploy: NoDeploy = False, verbose: Verbose = False) -> int:
        """Make and start the machines, then deploy inventories/lab.yml to them."""
        vagrant = Vagrant.of(folder)
        vagrant.check_provider()
        vagrant.run("up")
        vagrant.write_ssh_config()
        if no_deploy:
            typer.echo(f"The machines are up: provision deploy {_shown(vagrant.inventory)}")
            return 0
        return _deploy(vagrant, verbose=verbose)

    @lab.command()
    def down(folder: Folder = None, yes: Yes = False) -> int:
        """Remove the machines with all that is on them."""
        vagrant = Vagrant.of(folder)
        if not yes:
            confirm("This removes the lab's virtual machines with all data.", "lab")
        vagrant.run("destroy", "--force")
        vagrant.remove_ssh_config()
        return 0

    @lab.command()
    def status(folder: Folder = None) -> int:
        """Show which machines there are, as Vagrant says."""
        Vagrant.of(folder).run("status")
        return 0


def _deploy(vagrant: Vagrant, *, verbose: bool) -> int:
    from provision.cli.deploy import converge  # noqa: PLC0415 - only what comes after the machines needs it

    if not vagrant.inventory.is_file():
        raise InputError(f"there is no {_shown(vagrant.inventory)}; the machines are up")
    command = Command.begin(vagrant.inventory, verbose=verbose, forks=FORKS)
    command.run().wanted()
    command.keep_log("deploy")
    try:
        return converge(command, command.run(generate=True))
    finally:
        command.close(command="deploy")


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

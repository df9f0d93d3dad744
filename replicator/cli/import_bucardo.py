"""`replicator import-bucardo`: print the inventory that declares what an existing Bucardo does.

It reads Bucardo's own database and changes nothing. Neither passwords nor the text of custom code are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from replicator.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import-bucardo")(import_bucardo)


def import_bucardo(
    dsn: Annotated[str, typer.Argument(help="Bucardo's database: 'host=HOST dbname=bucardo user=bucardo', or a URL.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it; it must not exist.")] = None,
) -> None:
    """Print the inventory that declares what a Bucardo, 4 or 5, is set up to do. Reads only; never a password."""
    from replicator import importing  # noqa: PLC0415  (the driver costs half a second; help needs none)

    if output is not None and output.exists():
        raise UsageError(f"{output} exists already.", hint="Name another file: nothing is overwritten.")
    former = importing.read(dsn)
    declared = importing.declare(former)
    text = importing.inventory(declared, former.version)
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text)
    topology = declared.topology
    noted = sum(map(len, declared.notes.values()))
    typer.echo(
        f"replicator: Bucardo {former.version}; databases: {len(topology.databases)}, herds: {len(topology.herds)},"
        f" syncs: {len(topology.syncs)}; lines that begin with #! and need a look: {noted}.",
        err=True,
    )


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from error

"""`provision secret`: the sealed file that `!secret NAME` in an inventory refers to."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from provision.cli.secret_editor import edited
from provision.errors import InputError
from provision.inventory import SecretSource, load
from provision.secrets import Passphrase, Vault, unlocker
from provision.secrets.passphrase import ask_twice, from_file, long_enough
from provision.secrets.vault import check_name

Place = Annotated[
    Path, typer.Argument(metavar="INVENTORY", help="The inventory whose secrets file is meant, or such a file itself.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The entry.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make one of 32 random characters.")]
NewFile = Annotated[
    Path | None,
    typer.Option("--new-passphrase-file", metavar="FILE", help="Take the new passphrase from its first line."),
]


@dataclass(frozen=True)
class Opened:
    """The secrets file that is meant, and what of the inventory refers to it."""

    vault: Vault
    used: Mapping[str, SecretSource]

    @classmethod
    def of(cls, place: Path) -> Opened:
        """Find it. Raises InputError."""
        if place.suffix == ".enc":
            return cls(Vault(place, Passphrase()), {})
        passphrase = Passphrase()
        inventory = load(place, unlock=unlocker(passphrase))
        used = {source.text: source for source in inventory.secrets if source.kind == "secret"}
        return cls(Vault(inventory.secrets_file, passphrase), used)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(rich_markup_mode=None, help="Keep secrets in an encrypted file, for `!secret NAME`.")
    for command in (set_, get, list_, remove, edit, rekey):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="secret")


def set_(place: Place, name: Name, generate: Generate = False) -> int:
    """Add or replace an entry. Its value is read from standard input, or asked for twice."""
    vault = Opened.of(place).vault
    check_name(name)
    with vault.changing() as entries:
        verb = "replaced" if name in entries else "added"
        entries[name] = secrets.token_urlsafe(24) if generate else _value(name)
    print(f"{name}: {verb} in {vault.path}")
    return 0


def get(place: Place, name: Name) -> int:
    """Print the value of an entry."""
    vault = Opened.of(place).vault
    entries = vault.entries()
    if name not in entries:
        raise InputError(vault.missing(name))
    print(entries[name])
    return 0


def list_(place: Place) -> int:
    """Print the names of the entries, and those that the inventory refers to in vain."""
    opened = Opened.of(place)
    entries = opened.vault.entries()
    for name in sorted({*entries, *opened.used}):
        use = opened.used.get(name)
        note = "" if name in entries else "  MISSING"
        print(f"{name}{note}{f'  {use.mark}' if use else ''}")
    return 0


def remove(place: Place, name: Name) -> int:
    """Remove an entry."""
    opened = Opened.of(place)
    with opened.vault.changing() as entries:
        if name not in entries:
            raise InputError(opened.vault.missing(name))
        del entries[name]
    print(f"{name}: removed from {opened.vault.path}")
    if name in opened.used:
        print(f"warning: {opened.used[name].mark} still refers to it", file=sys.stderr)
    return 0


def edit(place: Place) -> int:
    """Change all entries in your editor (VISUAL, EDITOR, else vi), as `name: value` lines of YAML."""
    vault = Opened.of(place).vault
    with vault.changing() as entries:
        before = dict(entries)
        after = edited(before)
        entries.clear()
        entries.update(after)
    print(f"{vault.path}: {'nothing was changed' if before == after else 'written'}")
    return 0


def rekey(place: Place, new_passphrase_file: NewFile = None) -> int:
    """Seal the file under a new passphrase. The old one is asked for as always, the new one twice."""
    vault = Opened.of(place).vault
    vault.entries()
    new = from_file(new_passphrase_file) if new_passphrase_file else ask_twice("New passphrase: ")
    vault.rekey(long_enough(new))
    print(f"{vault.path}: sealed anew. Whoever has an old copy and the old passphrase can still read that copy.")
    return 0


def _value(name: str) -> str:
    """What is typed, or comes from a pipe (without the line end that `echo` adds)."""
    if sys.stdin.isatty():
        value = ask_twice(f"Value of {name}: ").reveal()
    else:
        try:
            value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise InputError("standard input holds something else than text in UTF-8") from None
    if not value:
        raise InputError(f"found no value for {name}, expected it at standard input")
    return value

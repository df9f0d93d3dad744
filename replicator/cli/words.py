"""The words that commands on objects take: nouns in singular, plural and Bucardo's spelling, and `option=value`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from typer.core import TyperCommand, TyperGroup

NOUNS = {"database": "db", "group": "dbgroup", "relgroup": "herd"}
"""Other words for nouns, in the singular."""

OPTIONS = {
    "conflict_strategy": "strategy",
    "dbs": "target",
    "herd": "source",
    "pass": "password",
    "ping": "autokick",
    "relgroup": "source",
    "standard_conflict": "strategy",
    "targetdb": "target",
    "targetdbs": "target",
    "targetgroup": "target",
    "targets": "target",
}
"""Other words for options; each holds where the command has no option of that very name."""

YES, NO = ("1", "yes", "on", "true", "t", "y"), ("0", "no", "off", "false", "f", "n")


class Nouns(TyperGroup):
    """A verb: its subcommands are nouns, and `db`, `dbs` and `databases` are one."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The subcommand for a noun."""
        return super().get_command(ctx, noun(cmd_name, self.commands))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say which nouns there are if none is given."""
        if not args:
            ctx.fail(f"say what to {ctx.info_name}: {', '.join(self.list_commands(ctx))}.")
        return super().parse_args(ctx, args)


def noun(word: str, known: Collection[str]) -> str:
    """The known noun that a word means; the word itself if there is none. Pure."""
    single = word.removesuffix("s")
    single = NOUNS.get(single, single)
    return next((known_word for known_word in (word, single, f"{single}s") if known_word in known), word)


class Words(TyperCommand):
    """A command that takes `option=value` for `--option value`, and Bucardo's names of options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Spell the arguments as the parser wants them."""
        flags, valued = set[str](), set[str]()
        for parameter in self.params:
            long = {name.removeprefix("--") for name in parameter.opts if name.startswith("--")}
            (flags if getattr(parameter, "is_flag", False) else valued).update(long)
        return super().parse_args(ctx, list(spell(args, flags, valued)))


def spell(args: list[str], flags: Collection[str], valued: Collection[str]) -> Iterator[str]:
    """The arguments with `--` before the words that are options, by the names that the command knows. Pure."""
    for argument in args:
        match = re.fullmatch(r"(--)?([a-z_-]+)(?:=(.*))?", argument, flags=re.DOTALL)
        if not match or not (match[1] or match[3] is not None):
            yield argument
            continue
        name = match[2] if match[2] in {*flags, *valued} else OPTIONS.get(match[2], match[2])
        value = match[3]
        if name in valued:
            yield f"--{name}" if value is None else f"--{name}={value}"
        elif name in flags and value is not None and value.lower() in (*YES, *NO):
            yield f"--{name}" if value.lower() in YES else f"--no-{name}"
        else:
            yield argument

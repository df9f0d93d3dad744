"""Writes provision.md, replicator.md and bucardo_ctl.md, the pages of all commands, from the commands themselves.

    python docs/reference/generate.py

A test fails when the pages are not what this would write. They are made from the commands' declarations, not from the
text of --help, whose looks change with releases of the library that prints it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import EnumType
from pathlib import Path
from typing import Any, get_args

import typer

import provision.cli
import replicator.cli
from replicator.bucardo.commands.help import PAGES
from replicator.habits import SETTINGS

FOLDER = Path(__file__).parent
APPS = {"provision": provision.cli.app, "replicator": replicator.cli.app}
MADE = "<!-- made by docs/reference/generate.py: change the commands, not this page -->"

PREFACE = {
    "provision": "The inventory has [a page of its own](inventory.md).",
    "replicator": """\
Exit codes: 0 done, 1 failed, 2 wrong usage or declaration, 3 databases differ or lag (`verify`), 4 a server does not
answer or refuses the login, 130 interrupted.

The configuration is the file that `--config` names, else the environment variable `PGHERD_CONFIG`, else the first that
is there of `./replicator.toml`, `~/.config/pgherd/replicator.toml` and `/etc/pgherd/replicator.toml`.
`provision deploy` writes it. By hand:

```toml
install = "pgherd"                  # several installs may share nodes, each under its own name
function_timeout = 5                # seconds that a function may take to decide a conflict
passfile = "passfile"               # libpq's password file, mode 0600; paths begin beside this file
run_dir = "run"                     # process id, lock
log_file = "log/replicator.log"
# unit = "pgherd-replicator"        # the systemd service that runs the daemon, where one does
# warn_behind = "1d"                # warn of a target for which changes are kept that are older: 30m, 12h, 1d
# warn_kept = "10GB"                # or for which the change logs that are kept fill more: 500MB, 10GB

[catalog]                           # libpq parameters; the database must exist, `replicator init` fills it
host = "127.0.0.1"
dbname = "pgherd"
user = "bucardo"
```""",
}


def pages() -> dict[Path, str]:
    """The pages' texts, by where they belong."""
    made = {FOLDER / f"{name}.md": _page(name, app) for name, app in APPS.items()}
    return {**made, FOLDER / "bucardo_ctl.md": _bucardo_page()}


def _bucardo_page() -> str:
    """The page of the commands and settings of Bucardo 4.5."""
    usages = "\n\n".join(f"bucardo_ctl {text}" for text in PAGES.values())
    rows = [
        f"| `{name}` | {_code(found.default)} | {found.effect or 'no effect here'} |"
        for name, found in SETTINGS.items()
    ]
    parts = [
        MADE,
        "# bucardo_ctl",
        "[From Bucardo to pgherd](../how-to/from-bucardo.md) says what differs from Bucardo 4.5.",
    ]
    parts += [
        f"```\n{usages}\n```",
        "## Settings",
        "\n".join(["| setting | default | what it does |", "|---|---|---|", *rows]),
    ]
    return "\n\n".join(parts) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _page(name: str, app: typer.Typer) -> str:
    command = typer.main.get_command(app)
    parts = [MADE, f"# {name}", *_body(command, name), _wrapped(PREFACE[name])]
    parts += [text for words, one in _commands(command, name) for text in (f"## {words}", *_body(one, words))]
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, words: str) -> Iterator[tuple[str, Any]]:
    """All commands below a group, with their words, depth first."""
    context = group.context_class(group, info_name=words)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        if command.hidden:
            continue
        yield f"{words} {word}", command
        if hasattr(command, "list_commands"):
            yield from _commands(command, f"{words} {word}")


def _body(command: Any, words: str) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    pieces = [words, *(["COMMAND"] if hasattr(command, "list_commands") else []), *map(_argument, arguments)]
    yield f"```\n{' '.join([*pieces, *(['[OPTION]...'] if options else [])])}\n```"
    if command.help:
        yield _wrapped(command.help.strip())
    rows = [(_argument(one), one.help or "") for one in arguments if one.help]
    rows += [(_option(one), _meaning(one)) for one in options]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *(f"| {_code(left)} | {right} |" for left, right in rows)])


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    bare = name.strip("[].")
    many = "..." if argument.nargs == -1 else ""
    return f"{bare}{many}" if argument.required else f"[{bare}]{many}"


def _option(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.secondary_opts:
        return f"{names}, {', '.join(option.secondary_opts)}"
    return names if option.is_flag else f"{names} {_value(option)}"


def _value(option: Any) -> str:
    return str(option.metavar or "|".join(_choices(option)) or option.name.upper())


def _choices(option: Any) -> list[str]:
    """The values that an option takes, where they are few; the library keeps them in one of two places."""
    kind = option.type_descriptor.annotation if hasattr(option, "type_descriptor") else option.type
    kinds = [kind, *get_args(kind)]
    values = [value for one in kinds for value in getattr(one, "choices", one if isinstance(one, EnumType) else ())]
    return [str(getattr(value, "value", value)) for value in values]


def _meaning(option: Any) -> str:
    notes = ["required"] if option.required else []
    default = getattr(option.default, "value", option.default)
    if option.show_default and not option.is_flag and default not in (None, "", (), []) and not callable(default):
        notes.append(f"default: {default}")
    text = option.help or ""
    return (f"{text} ({', '.join(notes)})" if notes else text).replace("|", "\\|")


def _wrapped(text: str) -> str:
    """A text with one line a paragraph; what stands between fences stays."""
    prose, *rest = re.split(r"(?m)^(?=```)", text, maxsplit=1)
    return re.sub(r"(?<!\n)\n(?!\n)", " ", prose) + "".join(rest)


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


if __name__ == "__main__":
    for place, content in pages().items():
        place.write_text(content, encoding="utf-8")

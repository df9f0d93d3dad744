"""Renders the Jinja2 templates of configuration files. Whether a result is good is the server's to say, later.

Templates are looked for beside the inventory (`templates/`), then among those that come with pgherd. A template sees
the host's variables by name, and `host`, `inventory`, `postgresql` (the server's settings), `hba_rules` and `tuned`
(what the host's size makes of the settings).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from pathlib import Path

import jinja2

from provision.errors import Fault, InputError
from provision.inventory import Host, Inventory, SecretSource, hba_rules
from provision.secrets import Secret

MANAGED = "managed by pgherd provision: changes made here are replaced"
PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
SPECIAL = re.compile(r"[+/][^\s,\"]+")
HBA_WORDS = ("all", "replication", "sameuser", "samerole", "samegroup", "samehost", "samenet")


def folders(inventory: Inventory) -> list[Path]:
    """Where templates are looked for, in order."""
    here = Path(__file__).parent
    shipped = (here / "templates", here.parent / "templates")
    return [inventory.folder / "templates", *(folder for folder in shipped if folder.is_dir())]


class Templates:
    """The templates that an inventory's hosts are rendered from."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._environment = jinja2.Environment(  # noqa: S701 - configuration files, not HTML
            loader=jinja2.FileSystemLoader(folders(inventory)),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
            finalize=_finalize,
        )
        self._environment.filters |= {"conf": conf, "hba": hba}

    def render(self, name: str, host: Host, **more: object) -> str:
        """A template for a host, `more` being further names that it may use. Raises InputError naming its line."""
        return self.render_with(name, {**_context(self.inventory, host), **more})

    def render_with(self, name: str, context: Mapping[str, object]) -> str:
        """A template with exactly these names. Raises InputError naming its line."""
        try:
            template = self._environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            raise _fault(error.filename or name, error.lineno, str(error.message)) from error
        except jinja2.TemplateNotFound as error:
            places = ", ".join(str(folder) for folder in folders(self.inventory))
            raise _fault(str(error.name), 0, f"there is no such template (looked in {places})") from error
        try:
            return template.render(context)
        except Exception as error:  # whatever a template's expressions do, it is a fault in its line
            file, line = _where(error, template)
            raise _fault(file, line, _message(error)) from error


def _context(inventory: Inventory, host: Host) -> dict[str, object]:
    return {
        **host.vars,
        "host": host,
        "inventory": inventory,
        "postgresql": host.postgresql,
        "hba_rules": hba_rules(inventory, host),
        "managed": MANAGED,
        "tuned": (),
    }


def conf(value: object) -> str:
    """A value as postgresql.conf takes it: on, off, a number, or a quoted text. Raises ValueError."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return conf(", ".join(str(part) for part in value))
    text = str(value)
    if "\0" in text:
        raise ValueError(f"a zero byte stands in {text!r}, which no setting can hold")
    return "'" + text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("'", "''") + "'"


def hba(names: tuple[str, ...], literal: bool = False) -> str:
    """Names as a field of pg_hba.conf takes them, each quoted where it must be. Raises ValueError.

    literal: the field's own words (`all`, `sameuser` ...) and signs (`+role`, `/regex`) are mere names too.
    """
    return ",".join(_hba_name(name, literal) for name in names)


def _hba_name(name: str, literal: bool) -> str:
    if not name or any(sign in name for sign in "\n\r\0"):
        raise ValueError(f"{name!r} cannot stand in pg_hba.conf")
    if PLAIN.fullmatch(name) and not (literal and name in HBA_WORDS):
        return name
    if not literal and SPECIAL.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def _finalize(value: object) -> object:
    if isinstance(value, Secret | SecretSource):
        raise TypeError("a secret cannot be a part of a rendered file")
    return value


def _where(error: Exception, template: jinja2.Template) -> tuple[str, int]:
    """The innermost line of a template (it may include others) that the error came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
    if not frames:
        return template.filename or str(template.name), 0
    return frames[-1].filename, frames[-1].lineno or 0


def _message(error: Exception) -> str:
    text = str(getattr(error, "message", None) or error)
    undefined = re.fullmatch(r"'(.+)' is undefined", text)
    if undefined:
        return f"found {undefined[1]!r}, which is not defined, expected a variable of the host or of the inventory"
    return f"cannot be rendered: {text}"


def _fault(file: str, line: int, message: str) -> InputError:
    return InputError([Fault(file, line, "", message)])

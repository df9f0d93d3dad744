"""`.bucardorc` files: `name=value` lines that stand for options of the command line.

Only the first one that is found is read: in this folder, at home, then for the system. `--bucardorc` names another,
`--no-bucardorc` none.
"""

from __future__ import annotations

import re
from pathlib import Path

from replicator.bucardo.grammar import Line
from replicator.errors import ConfigError

LINE = re.compile(r"\s*(\w[\w-]*)\s*[:=]\s*(.*?)\s*")
SYSTEM = Path("/etc/bucardorc")


def places() -> list[Path]:
    """Where one is looked for, in order."""
    return [Path(".bucardorc"), Path.home() / ".bucardorc", SYSTEM]


def read(line: Line) -> dict[str, str]:
    """What the file that a command line asks for says. Raises ConfigError naming file and line."""
    named = line.options.get("bucardorc")
    if named:
        if not Path(named).is_file():
            raise ConfigError(f'Could not find the file "{named}"')
        return parsed(Path(named))
    if line.on("no-bucardorc"):
        return {}
    found = next((path for path in places() if path.is_file()), None)
    return parsed(found) if found else {}


def parsed(path: Path) -> dict[str, str]:
    """The values of a file; lines that begin with # say nothing, a `#` further on belongs to the value."""
    values: dict[str, str] = {}
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for number, content in enumerate(text.splitlines(), 1):
        if not content.strip() or content.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(content)
        if not match:
            raise ConfigError(f"{path}, line {number}: expected name=value")
        values[match[1].lower()] = match[2]
    return values

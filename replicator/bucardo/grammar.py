"""The grammar of Bucardo 4.5's command line: a verb, words, `name=value` pairs and options, in any order. Pure.

Options have one dash or two (`-verbose`), take their value after `=` or as the next word, may be shortened while that
is unambiguous (`--verb`), and switches are turned off with `--no`. What a pair or word means is its command's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from replicator.errors import UsageError

SWITCHES = (
    *("batch", "cleandebugs", "compress", "debug", "debugfile", "debugfilesep", "debugsyslog"),
    *("help", "no-bucardorc", "notimer", "quiet", "sendmail", "showdays", "verbose", "version", "vv"),
)
VALUED = (
    *("bucardorc", "daysback", "db", "dbhost", "dbname", "dbpass", "dbport", "dbuser", "debugdir", "debugname"),
    *("extraname", "herd", "piddir", "retry", "retrysleep", "sort"),
)
LETTERS = {"v": "verbose", "h": "help", "?": "help", "q": "quiet", "d": "db", "nobucardorc": "no-bucardorc"}
LISTS = ("n", "N", "t", "T")
"""Options that may be repeated: schemas and tables to take, and (capital) to leave out."""

NUMBERS = ("daysback", "dbport", "retry", "retrysleep", "sort")

PAIR = re.compile(r"([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)
OPTION = re.compile(r"--?(?![\d=])([^=]+)(?:=(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One command line. verb: in lower case, empty if there is none; words: the rest, without pairs and options.

    pairs: `name=value`, names in lower case. switches: those that were given, on or off. verbosity: 1 for -v, 2 for
    -vv.
    """

    verb: str = ""
    words: tuple[str, ...] = ()
    pairs: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    switches: Mapping[str, bool] = field(default_factory=dict)
    verbosity: int = 0

    def on(self, switch: str, default: bool = False) -> bool:
        """Whether a switch is on."""
        return self.switches.get(switch, default)

    def given(self, name: str) -> str | None:
        """A value, written as a pair or as an option; None when it was not given."""
        return self.pairs.get(name, self.options.get(name))


def parse(arguments: Sequence[str]) -> Line:
    """Take a command line apart. Raises UsageError naming the word that is no option, or lacks its value."""
    words: list[str] = []
    pairs: dict[str, str] = {}
    options: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    switches: dict[str, bool] = {}
    verbosity = 0
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words += rest
        elif (match := OPTION.fullmatch(word)) and word != "-":
            name, value = option(match[1]), match[2]
            if name in LISTS:
                lists[name] = (*lists.get(name, ()), *_split(_value(match[1], value, rest)))
            elif name in VALUED:
                options[name] = _number(name, _value(match[1], value, rest))
            elif name in SWITCHES:
                switches[name] = _switched(match[1], name, value)
                verbosity += {"verbose": 1, "vv": 2}.get(name, 0) if switches[name] else 0
            elif value is not None and PAIR.fullmatch(f"{match[1]}="):
                _add(pairs, match[1], value)
            else:
                raise UsageError(f"Unknown option: {match[1]}")
        elif match := PAIR.fullmatch(word):
            _add(pairs, match[1], match[2])
        else:
            words.append(word)
    verb, *others = words or [""]
    return Line(verb.lower(), tuple(others), pairs, options, lists, switches, verbosity)


def option(text: str) -> str:
    """The full name of an option; the text itself if it is none. Raises UsageError for one that could be several."""
    if text in LISTS:
        return text
    lower = LETTERS.get(text, text.lower().replace("_", "-") if text.lower().startswith("no") else text.lower())
    known = (*SWITCHES, *VALUED)
    if lower in known:
        return lower
    for prefix in ("no-", "no"):
        if lower.startswith(prefix) and lower.removeprefix(prefix) in SWITCHES:
            return lower.removeprefix(prefix)
    if re.fullmatch(r"v+", lower):
        return "vv" if len(lower) == 2 else "verbose"
    meant = [name for name in known if len(lower) > 1 and name.startswith(lower)]
    if len(meant) > 1:
        raise UsageError(f"Option {text} is ambiguous ({', '.join(sorted(meant))})")
    return meant[0] if meant else lower


def _switched(text: str, name: str, value: str | None) -> bool:
    if value is None:
        return name == "no-bucardorc" or not text.lower().startswith("no") or text.lower() == "notimer"
    if value.lower() in ("1", "yes", "on", "true", "0", "no", "off", "false"):
        return value.lower() in ("1", "yes", "on", "true")
    raise UsageError(f"Option {text} takes 0 or 1, not {value!r}")


def _value(text: str, value: str | None, rest: Iterator[str]) -> str:
    if value is None:
        value = next(rest, None)
    if value is None:
        raise UsageError(f"Option {text} requires an argument")
    return value


def _number(name: str, value: str) -> str:
    if name in NUMBERS and not re.fullmatch(r"[+-]?\d+", value):
        raise UsageError(f'Value "{value}" invalid for option {name} (number expected)')
    return value


def _split(value: str) -> list[str]:
    return [part for part in (part.strip() for part in value.split(",")) if part]


def _add(pairs: dict[str, str], name: str, value: str) -> None:
    if pairs.setdefault(name.lower(), value) != value:
        raise UsageError(f"{name} is given twice, as {pairs[name.lower()]!r} and as {value!r}")


def duplicate_free(words: Sequence[str]) -> tuple[str, ...]:
    """The words, several in one with commas; a repeated one counts once."""
    return tuple(dict.fromkeys(part for word in words for part in _split(word)))

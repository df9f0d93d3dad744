"""One round trip for all facts of a host: joins the probes in a script, sends it, takes the answers apart again.

Queries to one server share one psql. A server that does not run answers no query: that is "not yet" (somebody may
start it first) when it has data, and "absent" when it has none.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from psycopg import sql

from provision.errors import HostFailed
from provision.facts.probe import AnyProbe, Probe, Query
from provision.facts.server import Server, postmaster
from provision.facts.trouble import explained
from provision.transport import Transport, quote

T = TypeVar("T")

PRELUDE = r"""
PATH=$PATH:/usr/sbin:/sbin
if stat -c %a / >/dev/null 2>&1; then
  stat_of() { stat -c '%F|%a|%U|%G' "$1"; }
else
  stat_of() { stat -f '%HT|%Lp|%Su|%Sg' "$1"; }
fi
# describe PATH: "absent", or "file|directory|link|other|mode|owner|group"; fails when it cannot be known
describe() {
  if d=$(stat_of "$1" 2>&1); then
    case $d in
      [Rr]egular*) echo "file|${d#*|}" ;;
      [Dd]irectory*) echo "directory|${d#*|}" ;;
      [Ss]ymbolic*) echo "link|${d#*|}" ;;
      *) echo "other|${d#*|}" ;;
    esac
  else
    case $d in
      *'No such file'*|*'Not a directory'*) echo absent ;;
      *) printf '%s\n' "$d" >&2; return 1 ;;
    esac
  fi
}
kind_of() { k=$(describe "$1") || return 1; echo "${k%%|*}"; }
# works_in PID FOLDER: whether that process runs, and in that folder (where that can be seen; else: is called postgres)
works_in() {
  kill -0 "$1" 2>/dev/null || return 1
  if [ -d /proc/self ]; then [ "/proc/$1/cwd" -ef "$2" ]
  else ps -p "$1" -o command= | grep -q postgres; fi
}
digest() { if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi; }
"""

TIMEOUT = 180.0
"""Seconds. Mostly it takes one; asking for updates fetches the lists of all repositories, when those are old."""


class NotYet(Exception):
    """A fact cannot be known before something else has been done; the text says what is in the way."""


@dataclass(frozen=True)
class Answer:
    """status: "known", "absent", "notyet" or "failed"; text: the fact as printed, or the reason."""

    status: str
    text: str


class Facts:
    """The facts of one host, by the probe that asked."""

    def __init__(self, answers: dict[AnyProbe[Any], Answer] | None = None, *, bare: bool = False) -> None:
        self._answers = answers or {}
        self._bare = bare

    @classmethod
    def bare(cls) -> Facts:
        """The facts of a host on which nothing has been done."""
        return cls(bare=True)

    def __getitem__(self, probe: AnyProbe[T]) -> T:
        """The fact. Raises NotYet when it cannot be known yet, HostFailed when the host could not tell."""
        if self._bare:
            return probe.absent
        answer = self._answers[probe]
        if answer.status == "absent":
            return probe.absent
        if answer.status == "notyet":
            raise NotYet(answer.text)
        if answer.status == "failed":
            raise HostFailed(explained(answer.text))
        return probe.parse(answer.text)


def gather(transport: Transport, probes: Iterable[AnyProbe[Any]], timeout: float = TIMEOUT) -> Facts:
    """Ask a host everything at once. Raises Unreachable."""
    asked = list(dict.fromkeys(probes))
    if not asked:
        return Facts()
    mark = f"@{secrets.token_hex(8)}"
    script = PRELUDE + "exec 3>&1\n" + "".join(_fragments(asked, mark))
    result = transport.run(script, timeout=timeout)
    if result.rc:
        raise HostFailed(f"the facts could not be gathered: {result.err.strip() or result.rc}")
    return Facts(dict(zip(asked, _answers(result.out, mark, asked), strict=True)))


def _fragments(asked: Sequence[AnyProbe[Any]], mark: str) -> list[str]:
    fragments = []
    servers: dict[Server, list[tuple[int, Query[Any]]]] = {}
    for number, probe in enumerate(asked):
        if isinstance(probe, Probe):
            fragments.append(_framed(f"{number}", probe.script, mark))
        else:
            servers.setdefault(probe.server, []).append((number, probe))
    for group, (server, queries) in enumerate(servers.items()):
        fragments.append(_framed(f"server{group}", _ask_server(server, queries, mark), mark))
    return fragments


def _framed(name: str, script: str, mark: str) -> str:
    """A fragment with its frame. Its standard output goes straight out; its errors follow in the closing frame."""
    return (
        f"f_{name}() (\n{script.rstrip()}\n)\n"
        f"printf '%s\\n' '{mark} begin {name}'\n"
        f"e=$(f_{name} 2>&1 >&3); c=$?\n"
        f"printf '\\n%s %s\\n%s\\n%s\\n' '{mark} end {name}' \"$c\" \"$e\" '{mark} done {name}'\n"
    )


def _ask_server(server: Server, queries: list[tuple[int, Query[Any]]], mark: str) -> str:
    """A fragment that answers queries, each in a frame of its own, or says for all why it cannot."""
    numbers = " ".join(str(number) for number, _ in queries)
    script = server.psql("\n".join(_psql_lines(queries, mark)), stop=False)
    return f"""\
state() (
{postmaster(server)})
state=$(state) || exit 1
case $state in
running*)
{script};;
bare*) for n in {numbers}; do echo {quote(mark)} absent $n; done ;;
*) for n in {numbers}; do echo {quote(mark)} notyet $n the server is "${{state%% *}}"; done ;;
esac
"""


def _psql_lines(queries: list[tuple[int, Query[Any]]], mark: str) -> list[str]:
    lines = []
    for dbname in dict.fromkeys(query.dbname for _, query in queries):
        numbers = [number for number, query in queries if query.dbname == dbname]
        exists = sql.SQL("select count(*)::int::bool as found from pg_catalog.pg_database where datname = {}")
        name = sql.Identifier(dbname).as_string(None)
        lines += [f"{exists.format(dbname).as_string(None)} \\gset", "\\if :found", f"\\connect {name}"]
        for number, query in queries:
            if query.dbname == dbname:
                lines += [f"\\echo {mark} begin {number}", query.sql.strip(), f"\\echo {mark} end {number} 0"]
                lines += [f"\\echo {mark} done {number}"]
        lines += ["\\else", *(f"\\echo {mark} absent {number}" for number in numbers), "\\endif"]
    return lines


def _answers(out: str, mark: str, asked: Sequence[AnyProbe[Any]]) -> list[Answer]:
    frames = _frames(out, mark)
    groups = [frame for name, frame in frames.items() if name.startswith("server")]
    why = " ".join(frame.text for frame in groups if frame.status == "failed" or frame.text)
    missing = Answer("failed", why or "no answer came for a fact that was asked for")
    answers = []
    for number, probe in enumerate(asked):
        answer = frames.get(str(number), missing)
        if isinstance(probe, Query) and answer.status == "known" and not answer.text:
            answer = missing
        answers.append(answer)
    return answers


def _frames(out: str, mark: str) -> dict[str, Answer]:
    """The answers by name. Text between `begin` and `end` is the fact, between `end` and `done` what went wrong."""
    frames: dict[str, Answer] = {}
    fact: list[str] = []
    errors: list[str] = []
    code = ""
    inside = fact
    for line in out.split("\n"):
        if not line.startswith(mark + " "):
            inside.append(line)
            continue
        _, word, name, *rest = line.split(" ")
        if word == "begin":
            fact, errors = [], []
            inside = fact
        elif word == "end":
            code, inside = rest[0], errors
        elif word == "done":
            failed = code != "0" or name.startswith("server")
            frames[name] = Answer(*(("failed", _text(errors)) if failed else ("known", _text(fact))))
        else:
            frames[name] = Answer(word, " ".join(rest))
    return frames


def _text(lines: list[str]) -> str:
    return "\n".join(lines).strip("\n")

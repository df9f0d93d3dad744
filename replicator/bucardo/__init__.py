"""The `bucardo_ctl` command: Bucardo 4.5's command line over the catalog and daemon of `replicator`.

A verb is a module of `commands`, named in `VERBS`, with a function `run(session) -> int | None`. `grammar` takes the
line apart, `place` finds the catalog. Commands print to stdout what 4.5 printed; here errors go to stderr, one
sentence each. Exit codes: 0 done, 1 failed or wrong usage, 2 a kicked run failed.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence

from replicator.bucardo import grammar
from replicator.bucardo.session import Failed, Session
from replicator.errors import ReplicatorError, UsageError
from replicator.habits import VERSION

VERBS = {
    **{name: name for name in ("activate", "add", "deactivate", "help", "inspect", "install", "kick", "message")},
    **{name: name for name in ("ping", "reload", "reload_config", "remove", "restart", "show", "start", "status")},
    **{name: name for name in ("stop", "update", "upgrade", "validate")},
    "config": "show",
    "delete": "remove",
    "list": "listing",
    "set": "show",
}
"""The verbs and the modules that carry them out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code; no exception leaves this function."""
    arguments = sys.argv[1:] if argv is None else argv
    debug = any(word.lstrip("-") == "debug" for word in arguments if word.startswith("-"))
    session = None
    try:
        session = Session(grammar.parse(arguments))
        return _dispatch(session)
    except Failed as failed:
        return failed.code
    except (KeyboardInterrupt, EOFError):
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except ReplicatorError as error:
        if debug:
            traceback.print_exc()
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # a defect: one line all the same
        if debug:
            traceback.print_exc()
        print(f"bucardo_ctl: unexpected {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        return 1
    finally:
        if session:
            session.close()


def _dispatch(session: Session) -> int:
    line = session.line
    if line.on("version"):
        print(f"bucardo_ctl version {VERSION}")
        return 0
    if not line.verb or line.on("help"):
        from replicator.bucardo.commands import help as pages  # noqa: PLC0415  (help needs no driver)

        return pages.page(line.verb, line.words[0] if line.words else "")
    module = VERBS.get(line.verb)
    if module is None:
        raise UsageError(f'Unknown action: "{line.verb}". See `bucardo_ctl help`.')
    command = importlib.import_module(f"replicator.bucardo.commands.{module}")
    return int(command.run(session) or 0)

"""Hooks: code of yours that a sync runs at a moment of its runs, as Bucardo's custom code did. Values only, pure.

Running them, and heeding what they answer, is `hooks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
LONGEST = 3600.0
"""Seconds that a hook may be given at the most."""


class Moment(StrEnum):
    """When a hook runs. Those from BEFORE_ROWS to AFTER_ROWS are in the target's transaction, and end as it ends."""

    BEFORE_SYNC = "before_sync"  # a run begins
    BEFORE_CHECK_ROWS = "before_check_rows"  # the source's snapshot is taken, what changed is not known yet
    BEFORE_TXN = "before_txn"  # there are changes; the target's transaction has not begun
    BEFORE_ROWS = "before_rows"  # it has begun, nothing is written
    AFTER_TABLE_SYNC = "after_table_sync"  # a table's rows are written
    AFTER_ROWS = "after_rows"  # all are written, nothing is committed
    AFTER_TXN = "after_txn"  # it is committed
    AFTER_SYNC = "after_sync"  # a run has ended well
    EXCEPTION = "exception"  # a run has failed


BUCARDO = {
    **dict.fromkeys(("before_trigger_drop", "before_trigger_disable"), Moment.BEFORE_ROWS),
    **dict.fromkeys(("after_trigger_drop", "after_trigger_disable"), Moment.BEFORE_ROWS),
    **dict.fromkeys(("before_trigger_enable", "after_trigger_enable"), Moment.AFTER_ROWS),
}
"""Bucardo's moments around its handling of triggers, which do not exist here: those that lie nearest."""

WITH_TABLES = (Moment.BEFORE_TXN, Moment.BEFORE_ROWS, Moment.AFTER_TABLE_SYNC, Moment.AFTER_ROWS, Moment.AFTER_TXN)
"""The moments at which it is known which tables a batch is about."""


def moment(text: str) -> Moment:
    """The moment that a word means, Bucardo's words included. Raises ValueError saying which there are."""
    word = text.strip().lower()
    if word == "conflict":
        raise ValueError("a conflict is decided by a strategy: sql:FUNCTION or python:MODULE:FUNCTION")
    if word in BUCARDO:
        return BUCARDO[word]
    if word not in set(Moment):
        raise ValueError(f"found {text!r}, expected one of {', '.join(Moment)}")
    return Moment(word)


@dataclass(frozen=True, kw_only=True)
class Hook:
    """call: `sql:FUNCTION` on the target, or `python:MODULE:FUNCTION` (a module or a .py file) where the daemon runs.

    tables: it runs for batches with these only, as `schema.name`; none: for any. seconds: how long it may take.
    """

    name: str
    moment: Moment
    call: str
    tables: tuple[str, ...] = ()
    seconds: float = 30.0

    def __str__(self) -> str:
        which = f" of {', '.join(self.tables)}" if self.tables else ""
        return f"{self.name}: {self.moment}{which}: {self.call} within {self.seconds:g} s"

    @property
    def sql(self) -> str:
        """The SQL function; empty if it is none."""
        return self.call.removeprefix("sql:") if self.call.startswith("sql:") else ""

    @property
    def python(self) -> tuple[str, str] | None:
        """Module or file, and function; None if it is none."""
        place, _, function = self.call.removeprefix("python:").rpartition(":")
        return (place, function) if self.call.startswith("python:") and place and function else None

    def faults(self) -> Iterator[str]:
        """What is wrong with it in itself, a phrase each."""
        if not NAME.fullmatch(self.name):
            yield "its name is to be a letter, then letters, digits or underscores, 63 at most"
        if not self.sql and not self.python:
            yield f"found {self.call!r}, expected sql:FUNCTION or python:MODULE:FUNCTION"
        if not 0 < self.seconds <= LONGEST:
            yield f"its time is to be above 0 and at most {LONGEST:.0f} seconds"
        if self.tables and self.moment not in WITH_TABLES:
            yield f"at {self.moment} it is not known which tables a batch has; leave the tables out"

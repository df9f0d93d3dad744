"""What is to be changed on a host: the action as a value, made by a resource, carried out by `apply`.

A change knows nothing of hosts or connections. Its script may hold secrets, so it is never shown: people see the
summary and the diff, from which the resource has left the secrets out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field

Note = Callable[[str], None]
"""Takes a short sentence on what is being done right now."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One step towards what is declared.

    summary: what will be done, as "create role bucardo". script: POSIX shell, run under the host's own account or under
    `as_user`; it must be safe to be killed anywhere and run again. prepare: makes the script when its turn comes,
    because something has to be fetched for it; such a script may be large. act: instead of a script, what the control
    machine does itself. before, after: text of both states without secrets; None where there is none. follows: what
    the server must do about it afterwards ("reload"), decided later by looking at the server. claims: the address and
    port that it makes something listen at.
    """

    summary: str
    script: str = field(default="", repr=False)
    prepare: Callable[[Note], str] | None = field(default=None, repr=False, compare=False)
    act: Callable[[Note], None] | None = field(default=None, repr=False, compare=False)
    as_user: str = ""
    before: str | None = None
    after: str | None = None
    follows: str = ""
    claims: tuple[str, int] | None = None

    def diff(self) -> list[str]:
        """The difference in unified form, without line ends; empty where there is nothing to compare."""
        if self.before is None and self.after is None:
            return []
        old, new = (text.splitlines() if text else [] for text in (self.before, self.after))
        return list(difflib.unified_diff(old, new, "found", "declared", lineterm="", n=2))
